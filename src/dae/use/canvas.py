"""The canvas of the demo: one draws on it, or drops a file; what is there is told as a data URL.

Gradio's own editor draws by WebGL, which takes a minute a stroke where no GPU helps.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HTML = """
<canvas width="280" height="280" aria-label="Draw here, or drop an image"></canvas>
<div><button class="wipe" type="button">Clear</button>
<button class="choose" type="button">Choose a file</button><input type="file" accept="image/*" hidden></div>
"""
STYLE = """
canvas { width: 100%; max-width: 400px; touch-action: none; cursor: crosshair; border: 1px solid gray; }
button { margin: 4px 8px 0 0; padding: 4px 12px; border: 1px solid gray; border-radius: 4px; }
"""
SCRIPT = """
const canvas = element.querySelector('canvas'), pen = canvas.getContext('2d'), side = canvas.width;
const file = element.querySelector('input');
const tell = image => trigger('input', {image});
const wipe = () => { pen.fillStyle = props.ground; pen.fillRect(0, 0, side, side); };
wipe();
Object.assign(pen, {strokeStyle: props.pen, lineWidth: 22, lineCap: 'round'});

let last = null;
const place = event => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * side / box.width, (event.clientY - box.top) * side / box.height];
};
const draw = to => { pen.beginPath(); pen.moveTo(...last); pen.lineTo(...to); pen.stroke(); last = to; };
canvas.onpointerdown = event => {
  canvas.setPointerCapture(event.pointerId);
  last = place(event);
  draw(last);
};
canvas.onpointermove = event => last && draw(place(event));
canvas.onpointerup = canvas.onpointercancel = () => { if (last) tell(canvas.toDataURL()); last = null; };

const take = chosen => {
  if (!chosen) return;
  const reader = new FileReader();
  reader.onload = () => tell(reader.result);  // the file itself, in its own size
  reader.readAsDataURL(chosen);
  wipe();
  createImageBitmap(chosen).then(image => {
    const scale = side / Math.max(image.width, image.height);
    const [width, height] = [image.width * scale, image.height * scale];
    pen.drawImage(image, (side - width) / 2, (side - height) / 2, width, height);
  }, () => {});  // a kind that no browser shows, like TIFF
};
canvas.ondragover = event => event.preventDefault();
canvas.ondrop = event => { event.preventDefault(); take(event.dataTransfer.files[0]); };
file.onchange = () => { take(file.files[0]); file.value = ''; };
element.querySelector('.choose').onclick = () => file.click();
element.querySelector('.wipe').onclick = () => { wipe(); tell(''); };
"""


@contextmanager
def file_of(url: str) -> Iterator[Path]:
    """A file with the content of a data URL, while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="dae-demo-") as folder:
        path = Path(folder) / "image"
        path.write_bytes(base64.b64decode(url.partition(",")[2]))
        yield path
