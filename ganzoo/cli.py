"""The command line: parse, call, print. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .errors import GanzooError, KernelError, UsageError
from .progress import speaks

KIND_NAMES = ("architecture", "loss", "regularizer", "procedure", "dataset", "metric", "recipe")


class Group(click.Group):
    """Shows a GanzooError as one sentence and turns it into its exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GanzooError as error:
            if context.params.get("debug"):
                raise
            if speaks():
                click.echo(f"ganzoo: {error}", err=True)
            context.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            click.echo("ganzoo: stopped", err=True)
            context.exit(130)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
@click.version_option(package_name="ganzoo")
def main(debug: bool) -> None:
    """GANs, any of them: data x architecture x loss x regularizers, played by a procedure."""


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON only.")(command)


# Options that several commands have.
_features_option = click.option(
    "--features",
    default="identity",
    show_default=True,
    help="identity, or a file of weights: FILE, FILE:resize=clean, TRUNK:heads=HEADS.",
)
_measured_count_option = click.option(
    "--count", type=click.IntRange(2), help="Samples that are measured; 10,000 unless given."
)
_device_option = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
_seed_option = click.option("--seed", type=int, default=0, show_default=True)
_label_option = click.option("--label", help="A class by name or number; several: 3,7,12; or all.")
_truncation_option = click.option(
    "--truncation", type=click.FloatRange(0), default=1.0, show_default=True, help="Less: alike, and better."
)
_step_option = click.option(
    "--checkpoint", "step", type=int, metavar="STEP", help="A step's checkpoint instead of the newest."
)


@main.command("list")
@click.argument("kind", required=False, type=click.Choice(KIND_NAMES))
@_json_option
def list_parts(kind: str | None, as_json: bool) -> None:
    """Every part, one line each, with the package that it comes from; broken plugins too."""
    from .describe import listing, table
    from .registry import installed

    rows = listing(installed(), kind)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        table(rows)


@main.command()
@click.argument("name")
@_json_option
def show(name: str, as_json: bool) -> None:
    """A part's options, paper, what it needs and offers, and what it fits."""
    from .describe import describe, page
    from .registry import installed

    found = describe(installed(), name)
    click.echo(json.dumps(found, indent=1) if as_json else "\n\n".join(map(page, found)))


@main.command()
@click.argument("recipe", required=False, metavar="[RECIPE|FILE.toml|config.json]")
@click.option("--arch", metavar="NAME[:OPTIONS]", help="Architecture.")
@click.option("--loss", metavar="NAME[:OPTIONS]", help="Loss.")
@click.option("--reg", multiple=True, metavar="NAME[:OPTIONS]", help="Add a regularizer; may be repeated.")
@click.option("--no-reg", multiple=True, metavar="NAME", help="Remove a regularizer; may be repeated.")
@click.option("--procedure", metavar="NAME[:OPTIONS]", help="Procedure; holds optimizers, rates, n_critic, average.")
@click.option("--data", metavar="NAME|PATH[:OPTIONS]", help="A data set's name, or a folder, zip or array file.")
@click.option("--steps", type=click.IntRange(1), help="Number of steps in all.")
@click.option("--batch", type=click.IntRange(1), help="Samples in a batch.")
@click.option("--seed", type=int, help="Seed of every random number.")
@click.option("--init", metavar="RUN", help="Start from another run's networks.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16", "fp64"]), help="What networks compute in.")
@_device_option
@click.option("--workers", type=click.IntRange(0), help="Processes that decode data.")
@click.option("--log-every", type=click.IntRange(0), default=50, show_default=True, help="Steps; 0: only the last.")
@click.option("--sample-every", type=click.IntRange(0), default=500, show_default=True, help="Steps; 0: only the last.")
@click.option("--save-every", type=click.IntRange(0), default=500, show_default=True, help="Steps; 0: only the last.")
@click.option("--keep", type=click.IntRange(0), default=3, show_default=True, help="Checkpoints that stay; 0: all.")
@click.option("--tensorboard", is_flag=True, help="Log for TensorBoard too.")
@click.option("--on-warning", type=click.Choice(["ignore", "save", "stop"]), default="ignore", show_default=True)
@click.option("--evaluate-every", type=click.IntRange(0), default=0, help="Steps; measures, and keeps the best.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME[:OPTIONS]", help="What to measure; may be repeated.")
@_features_option
@_measured_count_option
@click.option("--checkpoint", "checkpoint_step", type=int, metavar="STEP", help="Go on from this step's checkpoint.")
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.")
@click.option("--dry-run", is_flag=True, help="Check that the parts fit, print the whole configuration, and stop.")
def train(dry_run: bool, **words: Any) -> None:
    """Train a run, or continue it: the same command goes on where it stopped."""
    from .allocator import keep_memory
    from .config import resolve
    from .metrics.evaluate import Asked
    from .registry import installed
    from .training import Settings, checked, execute

    asked = {key: words.pop(key) for key in ("recipe", "arch", "loss", "reg", "no_reg", "procedure", "data")}
    asked |= {key: words.pop(key) for key in ("steps", "batch", "seed", "precision", "init")}
    config = resolve(installed(), asked)
    if dry_run:
        checked(config, installed())
        click.echo(json.dumps(config.to_json(), indent=2))
        return
    keep_memory()
    measuring = Asked(**{name: words.pop(name) for name in ("metrics", "features", "count")})
    trained = execute(config, Settings(measuring=measuring, **words))
    if trained.stopped_by is not None:
        sys.exit(128 + trained.stopped_by)
    if speaks():
        click.echo(f"trained {trained.run.path}; samples of the last step:\n{trained.picture}")


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(1), help="64 unless given; of several classes 8 of each, in a row.")
@_seed_option
@_label_option
@_truncation_option
@_step_option
@_device_option
@click.option("--mix", "layers", metavar="LAYERS", help="A sheet of mixed styles: these layers' (0-3) of the columns.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .png, .npz, .csv, .txt, .wav or .gif.")
def sample(run: Path, out: Path, layers: str | None, **how: Any) -> None:
    """Samples of a trained run as a picture, an array file, a table or text."""
    from .run import Run
    from .walk import mix

    if layers is None:
        Run.open(run).write(out, **how)
    else:
        mix(Run.open(run), out, layers, **{**how, "count": min(how["count"] or 8, 8)})
    click.echo(out)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--keys", type=click.IntRange(2), help="Places that the walk visits: 6, or each of several classes.")
@click.option("--frames", type=click.IntRange(1), default=24, show_default=True, help="From one place to the next.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="Walks side by side.")
@_seed_option
@_label_option
@_truncation_option
@_step_option
@_device_option
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .gif file.")
def interpolate(run: Path, out: Path, **how: Any) -> None:
    """A walk through a generator's latent space that ends where it began, as an animation."""
    from .run import Run
    from .walk import interpolate as walk

    click.echo(walk(Run.open(run), out, **how))


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--steps", type=click.IntRange(1), default=500, show_default=True)
@_seed_option
@click.option("--label", help="A class, by name or number; the first unless given.")
@_step_option
@_device_option
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A folder.")
def project(run: Path, image: Path, out: Path, **how: Any) -> None:
    """The place in a generator's space whose sample is nearest to a picture, side by side with it."""
    from .projection import project as projected
    from .run import Run

    click.echo(projected(Run.open(run), image, out, **how))


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("pictures", metavar="FOLDER|FILE", type=click.Path(path_type=Path))
@click.option("--backwards", is_flag=True, help="The other way, where networks of both ways were trained.")
@_step_option
@_device_option
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A folder.")
def translate(run: Path, pictures: Path, out: Path, **how: Any) -> None:
    """Every picture of a folder, a .zip or a file, as a trained translator makes it; names are kept."""
    from .run import Run
    from .translation import translate as translated

    click.echo(translated(Run.open(run), pictures, out, **how))


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("what", metavar="FOLDER|ZIP|FILE|DATA")
@click.option("--sort", is_flag=True, help="The least usual first, not in the order of the data.")
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE", help="A line for each there too.")
@_step_option
@_device_option
@_json_option
def score(run: Path, what: str, sort: bool, table: Path | None, as_json: bool, **how: Any) -> None:
    """How unlike a run's data pictures are: score, the same from 0 to 1, and name, a line each."""
    from .run import Run
    from .scoring import lines, write_csv
    from .scoring import score as scored

    found = scored(Run.open(run), what, **how)
    found = sorted(found, key=lambda row: -row["score"]) if sort else found
    if table is not None:
        write_csv(found, table)
    click.echo(json.dumps(found, indent=1) if as_json else lines(found))


@main.command("import")
@click.argument("file", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--arch", metavar="NAME[:OPTIONS]", help="The architecture that it is of; found unless given.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The run's folder.")
def import_file(file: Path, arch: str | None, out: Path) -> None:
    """An official checkpoint, or an exported folder, as a run, read without running any code in it."""
    from .exchange import import_run

    run, notes = import_run(file, arch, out)
    click.echo("\n".join([*notes, str(run.path)]))


@main.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Weights, a card and samples.")
@click.option("--names", type=click.Choice(["ganzoo", "official"]), default="ganzoo", show_default=True)
@click.option("--onnx", type=click.Path(path_type=Path), metavar="FILE", help="The generator as an .onnx file.")
@click.option("--checkpoint", metavar="STEP|best", help="A step's checkpoint instead of the newest.")
def export_run(run: Path, out: Path | None, names: Any, onnx: Path | None, checkpoint: str | None) -> None:
    """A trained generator as a folder that a model hub can hold, or as ONNX."""
    from .export import chosen_step, export
    from .onnx_file import write_onnx
    from .run import Run

    if out is None and onnx is None:
        raise UsageError("say where to: --out FOLDER, --onnx FILE, or both")
    opened = Run.open(run)
    step = chosen_step(opened, checkpoint)
    if out is not None:
        click.echo(export(opened, out, names, step))
    if onnx is not None:
        click.echo(write_onnx(opened, onnx, step))


@main.command()
@click.argument("x", metavar="RUN|CHECKPOINT|FOLDER|FILE.npz", type=click.Path(exists=True, path_type=Path))
@click.option("--metric", "metrics", multiple=True, metavar="NAME[:OPTIONS]", help="What to measure; may be repeated.")
@click.option("--data", metavar="NAME|PATH[:OPTIONS]", help="Real data to compare with; a run's own unless given.")
@click.option("--reference", metavar="FOLDER|FILE.npz", help="Other samples to compare with, instead of --data.")
@_features_option
@click.option("--count", type=click.IntRange(2), help="Samples; 10,000 of a run, all of a folder or file.")
@_seed_option
@_device_option
@_json_option
def evaluate(x: Path, as_json: bool, **words: Any) -> None:
    """Measure samples: numbers with their protocol, interval, floor and bias."""
    from .metrics.evaluate import Asked, evaluate, report

    results = evaluate(x, Asked(**words))
    if speaks():
        click.echo(json.dumps(results, indent=1) if as_json else report(results))


@main.group()
def features() -> None:
    """Extractors of features, which measures compare."""


@features.command("train")
@click.option("--data", required=True, metavar="NAME|PATH[:OPTIONS]", help="Labelled pictures or sounds.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .safetensors file.")
@click.option("--network", type=click.Choice(["lenet", "resnet20", "spectral"]), help="By the data unless given.")
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True)
@_seed_option
@_json_option
def features_train(data: str, out: Path, as_json: bool, **how: Any) -> None:
    """Train a small classifier of labelled pictures or sounds, for `ganzoo evaluate --features FILE`."""
    from .metrics.classifier import train

    found = train(data, out, **how)
    told = f"{found['network']}, {found['accuracy']:.2%} of the {found['of']} samples right: {found['file']}"
    click.echo(json.dumps(found) if as_json else told)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_json_option
def parity(files: tuple[Path, ...], as_json: bool) -> None:
    """Rebuild official networks from recorded numbers and compare."""
    from .parity import compare, report

    results = [compare(path) for path in files]
    click.echo(json.dumps(results, indent=1) if as_json else report(results))
    if not all(result["passed"] for result in results):
        sys.exit(1)


@main.group()
def plugin() -> None:
    """Start a plugin package, or check what is installed."""


@plugin.command("new")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to make; ./ganzoo-NAME unless given.")
def plugin_new(name: str, out: Path | None) -> None:
    """Write a working plugin package: an architecture, a loss, an entry point and a test."""
    from .scaffold import write_plugin

    folder = write_plugin(name, out)
    click.echo(f"wrote {folder}\ntry it: pip install -e {folder} && ganzoo list && ganzoo plugin check")


@plugin.command("check")
@click.argument("package", required=False)
def plugin_check(package: str | None) -> None:
    """Run the zoo's own checks on the installed plugins (or on one package's)."""
    from .testing import check_installed

    failures = check_installed(package, say=click.echo)
    if failures:
        raise GanzooError(f"{failures} check{'s' if failures > 1 else ''} failed")


@main.command()
@_json_option
def doctor(as_json: bool) -> None:
    """Versions, devices, which implementation of each operator runs and why, and the plugins. Nothing is built."""
    from .doctor import gather, table
    from .registry import installed

    found = gather(installed())
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        table(found)


@main.group()
def kernels() -> None:
    """Build the compiled operators ahead of their first use, or remove what was built."""


@kernels.command("build")
def kernels_build() -> None:
    """Build and load what this machine can: ganzoo's kernels and those of installed plugins. Failed ones again."""
    from .kernels import build_all
    from .registry import installed

    installed()  # which imports the plugins: their extensions are known then
    failures = build_all(say=click.echo)
    if failures:
        raise KernelError("; ".join(failures))


@kernels.command("clean")
def kernels_clean() -> None:
    """Remove the cache of built kernels."""
    from .built import clean

    click.echo(clean())


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The page; RUN/report.html unless given.")
def report(run: Path, out: Path | None) -> None:
    """A run as one page of HTML that needs no network: curves, samples, measures, and the command that repeats it."""
    from .report import write
    from .run import Run

    opened = Run.open(run)
    click.echo(write(opened, out or run / "report.html"))


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN|FOLDER...", type=click.Path(path_type=Path))
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE", help="A line for each run too.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="A page too, with curves and samples.")
@_json_option
def compare(runs: tuple[Path, ...], table: Path | None, out: Path | None, as_json: bool) -> None:
    """Runs side by side: what differs, and what was measured, as mean and deviation over seeds."""
    from .report import comparison, comparison_page, comparison_table

    found = comparison.compare(comparison.runs_of(runs))
    written = [comparison_table.write_csv(found, table)] if table else []
    written += [comparison_page.write(found, out)] if out else []
    if as_json:
        click.echo(json.dumps(comparison_table.to_json(found), indent=1))
    else:
        comparison_table.show(found)
        for path in written:
            click.echo(path)


@main.command()
@click.argument("recipe", required=False, metavar="[RECIPE|FILE.toml|config.json]")
@click.option("--arch", multiple=True, metavar="NAME[:OPTIONS]", help="May be repeated, as all up to --precision.")
@click.option("--loss", multiple=True, metavar="NAME[:OPTIONS]", help="Loss.")
@click.option("--reg", multiple=True, metavar="NAME[:OPTIONS][+NAME...]|none", help="A set of regularizers to add.")
@click.option("--procedure", multiple=True, metavar="NAME[:OPTIONS]", help="Procedure.")
@click.option("--data", multiple=True, metavar="NAME|PATH[:OPTIONS]", help="A data set's name or path.")
@click.option("--batch", multiple=True, type=click.IntRange(1), help="Samples in a batch.")
@click.option("--precision", multiple=True, type=click.Choice(["fp32", "bf16", "fp16", "fp64"]))
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Runs of each combination.")
@click.option("--seed", type=int, help="The first of their seeds.")
@click.option("--steps", type=click.IntRange(1), help="Number of steps of every run.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME[:OPTIONS]|none", help="What to measure, if not none.")
@_features_option
@_measured_count_option
@click.option("--log-every", type=click.IntRange(0), default=50, show_default=True, help="Steps; 0: only the last.")
@click.option("--sample-every", type=click.IntRange(0), default=500, show_default=True, help="Steps; 0: only the last.")
@click.option("--save-every", type=click.IntRange(0), default=500, show_default=True, help="Steps; 0: only the last.")
@_device_option
@click.option("--out", type=click.Path(path_type=Path), help="The sweep's folder.")
def sweep(device: str, out: Path | None, **words: Any) -> None:
    """Train, measure and compare every combination of what is named; the same command goes on where it stopped."""
    from .grid import AXES, Grid
    from .sweep import Measuring, sweep

    axes = {axis: words.pop(axis) for axis in AXES}
    measuring = Measuring(*(words.pop(name) for name in ("metrics", "features", "count")))
    training = {name: words.pop(name) for name in ("log_every", "sample_every", "save_every")}
    swept = sweep(Grid(axes, **words), measuring, training, device, out)
    if swept.stopped_by is not None:
        sys.exit(128 + swept.stopped_by)
    if swept.failed:
        raise GanzooError(f"{swept.failed} run{'s' if swept.failed > 1 else ''} failed; the same command tries again")


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN|FOLDER...", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; others see it too.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free one.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="cpu", show_default=True)
def serve(runs: tuple[Path, ...], host: str, port: int, device: str) -> None:
    """Runs as live pages in a browser, with an explorer of what their generators make. Ctrl-C ends it."""
    from .serve import serve

    serve(runs, host, port, device, say=click.echo)
