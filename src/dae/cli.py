"""The command ``dae``: to train, and what can be done with what has been trained.

Each command is declared here and handed over to its function, whose module is imported only then: torch takes
seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dae
from dae.errors import ConfigError, Problem, raise_problems
from dae.metrics import NOISE_LEVELS, meaning
from dae.runs.process import interruptible, told
from dae.runs.records import OUTPUT_SUBDIR
from dae.schema import locate
from dae.text import aligned, format_figure, import_from_here, path_from_here, pluralize, quoted_path
from dae.training.machine import configure_waiting

if TYPE_CHECKING:  # torch
    from dae.evaluation import Evaluation

KEPT = """\
Each image is written under its own name, in the folders in which it lies below those that are given, in
its own format, size and depth, upright; transparency, EXIF, colour profile and resolution stay (of a TIFF
its tags do not; of a PNG its gAMA, cHRM, sRGB and cICP do not). Colours of 16 bits are written in 8, of
several pictures in a file the first. The paths of the new files go to standard output.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: What follows ``dae``; None takes them from ``sys.argv``.

    Returns:
        The exit code: 0; 2 the command is refused; 1 anything else went wrong; 130 Ctrl-C; 143 SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:  # Hydra has a grammar of its own
        from dae.launch import launch

        return launch(arguments[1:], program=sys.argv[0])
    parser = _parser()
    namespace, further = parser.parse_known_args(arguments)
    options = vars(namespace)
    # Words behind an option, which argparse passes over: predict RUN a.png --csv b.png
    several = next((options[name] for name in ("images", "words") if name in options), None)
    if further and several is not None and not any(word.startswith("-") for word in further):
        several += map(type(several[0]) if several else str, further)
    elif further:
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    configure_waiting()
    import_from_here()
    execute = options.pop("execute")
    with interruptible():
        return told(lambda: (locate(execute) if isinstance(execute, str) else execute)(**options))


def _parser() -> argparse.ArgumentParser:
    about = "Trains denoising autoencoders and classifiers, and uses what has been trained."
    parser = argparse.ArgumentParser("dae", description=about)
    parser.add_argument("--version", action="version", version=f"lightning-dae {dae.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("train", help="train both stages, a sweep, a search: dae train --help has the words")

    def command(
        name: str, execute: str | Callable[..., None], words: str, *parts: Callable[[Any], None], **more: Any
    ) -> Any:
        own = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".", **more)
        own.set_defaults(execute=execute)
        for part in parts:
            part(own)
        return own

    each = command(
        "denoise",
        "dae.use.denoise.denoise",
        "take the noise out of images",
        _model,
        _images,
        _folder,
        epilog=KEPT,
    )
    ways = each.add_mutually_exclusive_group()
    words = "give the network parts of the training's size, which overlap"
    ways.add_argument("--tiles", dest="way", action="store_const", const="tiles", help=words)
    words = "bring images to that size as a whole, and the result back, however large they are"
    ways.add_argument("--resize", dest="way", action="store_const", const="resize", help=words)

    each = command("predict", "dae.use.predict.predict", "name the class of each image", _model, _images)
    each.add_argument("--top", metavar="K", type=int, help="so many classes of each (1; with --json all)")
    forms = each.add_mutually_exclusive_group()
    for form, words in {
        "csv": "a header, then a row an image: path,class,probability,error",
        "json": "a list of path, class, probability, probabilities of all classes, error",
    }.items():
        forms.add_argument(
            f"--{form}", dest="form", action="store_const", const=form, default="table", help=words
        )

    each = command("evaluate", _evaluate, "measure a run again, on any data, under any noise", _model)
    words = "as for training, of data, dae/noise and trainer; what is left out is as in the run"
    each.add_argument("words", metavar="WORD", nargs="*", help=words)
    each.add_argument("--split", choices=("test", "val", "train"), default="test", help="default: test")
    each.add_argument("--config-dir", type=Path, metavar="FOLDER", help="with configs of your own")
    each.add_argument("--json", action="store_true", help="figures and intervals as JSON, for programs")

    each = command("embed", "dae.use.predict.embed", "write the latents of images", _model, _images)
    _file(each, ".npy, with the paths in a .txt file beside it; or .csv")

    each = command("export", "dae.use.export.export", "write a part of a model for other programs", _model)
    parts = ("encoder", "decoder", "autoencoder", "classifier")
    words = "images to latents; latents to images; images to denoised images; images to probabilities"
    each.add_argument("--part", choices=parts, required=True, help=words)
    each.add_argument("--format", dest="kind", choices=("onnx", "torch_export", "safetensors"), required=True)
    _file(each, "ends in .onnx, .pt2 or .safetensors; beside it FILE.json says how it is used")

    each = command(
        "demo",
        "dae.use.demo.demo",
        "open a page to draw an image, add noise, see it denoised and classified",
        _model,
    )
    each.add_argument("--port", type=int, metavar="N", help="of the page; else the next free one from 7860")
    each.add_argument("--no-browser", dest="browser", action="store_false", help="only print the address")

    each = command("noise", "dae.use.denoise.add_noise", "add noise to images", _images, _folder, epilog=KEPT)
    each.add_argument("--noise", dest="kind", choices=list(NOISE_LEVELS), default="gaussian")
    levels = ", ".join(f"{kind} {key} {level}" for kind, (key, level) in NOISE_LEVELS.items())
    each.add_argument("--level", type=float, help=f"of its number; by default {levels}")
    each.add_argument("--seed", type=int, default=0, help="the same one gives the same noise")

    words = "write report.html: one file that can be sent to a colleague"
    each = command("report", _report, words)
    each.add_argument("folders", nargs="+", type=Path, metavar="folder", help="of a run or a sweep")
    each = command("leaderboard", _leaderboard, "rank the jobs of a sweep: the table, and its files")
    each.add_argument("folders", nargs="+", type=Path, metavar="folder", help="of a sweep")
    each.add_argument(
        "--compare", metavar="key", help="a swept key: compare its values, each with the first one"
    )
    words = "print the tables of README from rows that were kept of sweeps, and draw its figures"
    each = command("results", "dae.report.results.show_results", words)
    each.add_argument(
        "folders", nargs="+", type=Path, metavar="folder", help="of a study, such as .github/results/*/"
    )
    each.add_argument(
        "--figures", type=Path, metavar="DIR", help="the folder that the figures are written to"
    )
    return parser


def _model(parser: argparse.ArgumentParser) -> None:
    words = "a run folder, a checkpoint, or the folder of a sweep, of which the winner counts"
    parser.add_argument("run", metavar="RUN", help=words)
    words = "a package besides ours whose classes the checkpoint may name, since you trust it"
    parser.add_argument("--allow-targets", action="append", default=[], metavar="PACKAGE", help=words)


def _images(parser: argparse.ArgumentParser) -> None:
    words = "files, and folders with all images below them"
    parser.add_argument("images", metavar="IMAGES", nargs="+", type=Path, help=words)


def _folder(parser: argparse.ArgumentParser) -> None:
    words = "the folder that the new files are written to: a new or an empty one"
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help=words)
    parser.add_argument("--overwrite", action="store_true", help="write into a folder that holds something")


def _file(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help=words)
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it is there already")


def _report(folders: Sequence[Path]) -> None:
    from dae.report.write import write_run_report, write_sweep_report  # matplotlib
    from dae.sweeps.jobs import read_job, read_jobs

    for folder in map(Path.resolve, folders):
        if read_job(folder) or (folder / "result.json").is_file():
            print(path_from_here(write_run_report(folder)))
            continue
        _require_sweep(folder)
        for job in read_jobs(folder):
            if job.folder.is_dir():  # else its row was kept alone
                write_run_report(job.folder)
        print(path_from_here(write_sweep_report(folder)))


def _leaderboard(folders: Sequence[Path], compare: str | None) -> None:
    from dae.report.write import write_sweep_report
    from dae.sweeps.hook import key_problems
    from dae.sweeps.leaderboard import console_text, write_leaderboard
    from dae.sweeps.order import ask
    from dae.sweeps.table import read_table

    for folder in map(Path.resolve, folders):
        _require_sweep(folder)
        if compare is not None:
            is_search = (folder / "search.md").is_file()
            where, keys = f"--compare {compare}", read_table(folder).keys
            raise_problems(key_problems(where, compare, keys, is_search))
            ask(folder, compare)
            write_sweep_report(folder)
        print(console_text(*write_leaderboard(folder)))


def _require_sweep(folder: Path) -> None:
    from dae.sweeps.jobs import read_jobs

    if read_jobs(folder):
        return
    run = next((each for each in (folder, folder.parent) if (each / OUTPUT_SUBDIR).is_dir()), None)
    what = "holds no run and no jobs" if folder.is_dir() else "is not a folder"
    hint = f"a run: dae report {quoted_path(run)}" if run else ""
    raise ConfigError([Problem(path_from_here(folder), f"{what}, expected a sweep's folder", hint)])


def _evaluate(run: str, words: Sequence[str], *, json: bool, **how: Any) -> None:
    from dae.evaluation import evaluate
    from dae.files import json_text

    found = evaluate(run, words, **how)
    sys.stdout.write(json_text(asdict(found)) if json else _evaluation_text(found))


def _evaluation_text(found: Evaluation) -> str:
    lines = [f"checkpoints  {', '.join(found.checkpoints.values())}"]
    lines += [f"data         {found.data}", f"measured on  {pluralize(found.images, f'{found.split} image')}"]
    if found.noise:
        arguments = [f"{key} {value}" for key, value in found.noise.items() if key != "_target_"]
        kind = " ".join([found.noise["_target_"].rpartition(".")[2], *arguments])
        lines += [f"noise        {kind}, {'as given' if found.noise_given else 'the reference noise'}"]
    lines += [f"note         {note}" for note in found.notes]
    rows = [["metric", "value", "95 % interval", ""]]
    for name, figure in found.figures.items():
        interval = " to ".join(map(format_figure, figure.interval)) if figure.interval else figure.how
        what = meaning(name).replace("the reference noise", "this noise")
        rows.append([name, format_figure(figure.value), interval, what])
    return "\n".join([*lines, "", *aligned(rows)]) + "\n"
