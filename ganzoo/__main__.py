"""`python -m ganzoo` is `ganzoo`."""

from .cli import main

main()
