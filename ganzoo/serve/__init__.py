"""Runs as live pages in a browser, with an explorer of what their generators make."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from werkzeug.serving import WSGIRequestHandler, make_server

from ..errors import RunError, UsageError
from .app import application
from .shelf import Shelf


def serve(
    paths: Sequence[Path],
    host: str = "127.0.0.1",
    port: int = 8000,
    device: str = "cpu",
    say: Callable[..., Any] = click.echo,
) -> None:
    """Serve runs and folders of runs until Ctrl-C.

    port: 0 takes any free one. device: what generators run on, `cpu`, `cuda` or `auto`. Raises RunError, UsageError.
    """
    shelf = Shelf(paths)
    if not _loopback(host):
        say(f"--host {host}: whoever reaches this machine sees these runs, and no password is asked for", err=True)
    with _listening(host, port) as listener:
        bound = listener.getsockname()[1]
        server = make_server(
            host, bound, application(shelf, host, device), threaded=True, request_handler=_Quiet, fd=listener.fileno()
        )
        found = len(shelf.runs())
        say(f"serving {found} {'run' if found == 1 else 'runs'} at {_address(host, bound)} (Ctrl-C ends it)")
        for ending in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # not in the main thread: signals belong to somebody else
                # Also where the process began with SIGINT ignored, as in the background of a script.
                signal.signal(ending, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


class _Quiet(WSGIRequestHandler):
    """Says nothing of requests: an open page asks every few seconds."""

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise UsageError(f"--host {host} is no address of this machine: {error.strerror}") from None
    except OSError as error:
        raise RunError(
            f"cannot listen on port {port} of {host} ({os.strerror(error.errno or 0)}); name another with --port, "
            "or any free one with --port 0"
        ) from None


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(host: str, port: int) -> str:
    """Where a browser on this machine finds the server."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
