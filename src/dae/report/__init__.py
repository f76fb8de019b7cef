"""``report.html``: a run, or a sweep, as one file that can be sent to a colleague."""
