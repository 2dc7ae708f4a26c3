"""The pages: a list of runs, a page for each, and the explorer. Everything is read, nothing can be changed."""

from __future__ import annotations

import hashlib
import io
import re
import secrets
import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, request
from PIL import Image
from werkzeug.exceptions import HTTPException

from .. import report
from ..errors import CheckpointError, GanzooError, UsageError
from ..report.contents import MOVING, contents, sample_files, sound_of
from .explorer import Explorer, Place, explorable, refuse
from .shelf import Shelf, Shelved, address, refuse_outside, stamp

HERE = Path(__file__).parent
ASSETS = {
    "page.css": (report.HOME, "text/css"),
    "page.js": (report.HOME, "text/javascript"),
    "serve.css": (HERE, "text/css"),
    "live.js": (HERE, "text/javascript"),
    "explore.js": (HERE, "text/javascript"),
}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MEDIA = {"png": "image/png", "gif": "image/gif", "wav": "audio/wav"}
THUMBNAIL = 320  # pixels
LOADED = 2  # generators that are kept in memory


def application(shelf: Shelf, host: str, device: str) -> Flask:
    """The server of a shelf of runs, for the address that it listens on."""
    app = Flask("ganzoo.serve", static_folder=None, template_folder=None)
    templates = report.environment(HERE)
    token = secrets.token_hex(8)  # what a browser kept from an earlier server may look different now

    def render(template: str, /, **values: Any) -> str:
        return templates.get_template(template).render(values)

    def unless_known(signature: str, make: Callable[[], str]) -> Response:
        """A page, or 304 where the browser has it: what is unchanged is not even made."""
        tag = f"{token}-{signature}"
        if request.if_none_match.contains_weak(tag):
            return Response(status=304, headers={"ETag": f'"{tag}"'})
        made = Response(make().encode("utf-8", "replace"), mimetype="text/html")
        made.set_etag(tag)
        return made

    _guard(app, host, render)
    _runs(app, shelf, render, unless_known)
    _explorer(app, shelf, render, device)

    @app.get("/static/<name>")
    def asset(name: str) -> Response:
        folder, kind = ASSETS.get(name) or abort(404)
        return Response((folder / name).read_bytes(), mimetype=kind)

    return app


def _guard(app: Flask, host: str, render: Callable[..., str]) -> None:
    """Who may ask, what a page may do, and how failures are told."""

    @app.before_request
    def refuse_foreign_hosts() -> None:
        if not trusted(request.environ.get("HTTP_HOST", ""), host):
            abort(403, "This server answers only to the address that it listens on.")

    @app.after_request
    def restrict(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-cache")
        return response

    def told(sentence: str, code: int) -> Response:
        if request.path.endswith(tuple(f".{suffix}" for suffix in MEDIA)):
            return Response(sentence, status=code, mimetype="text/plain")
        return Response(render("sentence.html.j2", sentence=sentence), status=code, mimetype="text/html")

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        if isinstance(error, HTTPException):
            code = error.code or 500
            return told("There is nothing at this address." if code == 404 else str(error.description), code)
        if isinstance(error, GanzooError):
            return told(str(error), 400 if isinstance(error, UsageError) else 409)
        return told(f"ganzoo failed: {type(error).__name__}: {error}", 500)


def trusted(header: str, host: str) -> bool:
    """Whether a request's Host names this server. Another name may be a stranger's that was pointed at this machine
    (DNS rebinding); an address in numbers cannot be."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?", header)
    if match is None:
        return False
    name = match[1].strip("[]").lower()
    if name in ("localhost", "127.0.0.1", "::1", host.lower()):
        return True
    return host in ("0.0.0.0", "::") and (_numeric(name) or name == socket.gethostname().lower())


def _numeric(name: str) -> bool:
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def _runs(app: Flask, shelf: Shelf, render: Callable[..., str], unless_known: Callable[..., Response]) -> None:
    """The list, a page for each run, and the pictures and sounds in them."""

    @app.get("/")
    def index() -> Response:
        runs = shelf.runs()
        signature = hashlib.sha256("".join(run.slug + run.signature() for run in runs.values()).encode()).hexdigest()
        return unless_known(signature, lambda: render("index.html.j2", runs=shelf.summaries()))

    @app.get("/run/<slug>/")
    def page(slug: str) -> Response:
        shelved = _found(shelf, slug)
        run = shelved.open()

        def make() -> str:
            values = contents(run, lambda path: address(shelved, path))
            return render("run.html.j2", **values, slug=slug, state=shelved.state(), explorable=explorable(run))

        return unless_known(shelved.signature(), make)

    @app.get("/run/<slug>/samples/<int:step>.<any(png, gif, wav):suffix>")
    def sample(slug: str, step: int, suffix: str) -> Response:
        found = [path for number, path in sample_files(_found(shelf, slug).open()) if number == step]
        places = [*found, *(sound for path in found if (sound := sound_of(path)))]
        path = next((path for path in places if path.suffix == f".{suffix}"), None) or abort(404)
        content = path.read_bytes()
        made = kept(Response(content, mimetype=MEDIA[suffix]))
        made.make_conditional(request, accept_ranges=True, complete_length=len(content))  # sound is searched in
        return made

    @app.get("/run/<slug>/thumbnails/<int:step>.png")
    def thumbnail(slug: str, step: int) -> Response:
        files = {number: path for number, path in sample_files(_found(shelf, slug).open()) if path.suffix in MOVING}
        return kept(Response(_thumbnail(files.get(step) or abort(404)), mimetype="image/png"))

    def kept(response: Response) -> Response:
        """A browser keeps what it asked for by an address that changes with the file."""
        if request.query_string:
            response.headers["Cache-Control"] = "private, max-age=86400"
        return response


def _explorer(app: Flask, shelf: Shelf, render: Callable[..., str], device: str) -> None:
    """The explorer's page and its pictures. One generator runs at a time."""
    turn = threading.Lock()
    loaded: dict[Path, tuple[Any, Explorer]] = {}  # with what tells its checkpoint; the one asked last is the last

    def newest(shelved: Shelved) -> Explorer:
        run = shelved.open()
        refuse(run)
        step = run.steps[-1]
        folder, home = run.checkpoints / f"step-{step:08d}", shelved.path.resolve()
        for path in (folder, *folder.glob("*")):
            refuse_outside(path, home)
        mark = step, stamp(folder)
        known, found = loaded.pop(shelved.path, (None, None))
        if found is None or known != mark:
            found = Explorer(run, step, device)
        loaded[shelved.path] = mark, found
        for old in list(loaded)[:-LOADED]:
            del loaded[old]
        return found

    def explorer(shelved: Shelved) -> Explorer:
        try:
            return newest(shelved)
        except CheckpointError:  # training may have put a newer one in its place just now
            return newest(shelved)

    @app.get("/run/<slug>/explore")
    def explore(slug: str) -> str:
        shelved = _found(shelf, slug)
        with turn:
            found = explorer(shelved)
            values = {"directions": len(found.directions), "uses_labels": found.uses_labels}
            values["mapped"] = found.space.mapped
            classes = list(enumerate(found.spec.classes))
            name = shelved.path.resolve().name
            return render("explore.html.j2", name=name, slug=slug, kind=found.spec.kind, classes=classes, **values)

    @app.get("/run/<slug>/explore.png")
    def place(slug: str) -> Response:
        asked = Place.read(request.args)
        with turn:
            found = explorer(_found(shelf, slug))
            made = found.picture(asked)
        return Response(
            made, mimetype="image/png", headers={"Cache-Control": "no-store", "Ganzoo-Step": str(found.step)}
        )


def _found(shelf: Shelf, slug: str) -> Shelved:
    return shelf.runs().get(slug) or abort(404)


def _thumbnail(path: Path) -> bytes:
    packed = io.BytesIO()
    try:
        with Image.open(path, formats=list(MOVING.values())) as picture:
            picture.thumbnail((THUMBNAIL, THUMBNAIL))
            picture.save(packed, "PNG")
    except (OSError, ValueError, Image.DecompressionBombError):  # not a whole picture, or not yet
        abort(404)
    return packed.getvalue()
