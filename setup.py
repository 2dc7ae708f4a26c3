"""Puts `plugins/` into the distribution under its import name, `ganzoo_plugins`.
Everything else is in pyproject.toml."""

from setuptools import setup

setup(package_dir={"ganzoo": "ganzoo", "ganzoo_plugins": "plugins"})
