"""`ganzoo serve`: a real server process, asked by hand and looked at in a real browser."""

from __future__ import annotations

import http.client
import io
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy
import pytest
import test_report
import torch
from conftest import command, environment
from PIL import Image
from test_report import HOSTILE, configure, drag, drawn, log, settle, shown_steps
from torch import nn

from ganzoo import train
from ganzoo.errors import RunError, UsageError
from ganzoo.latents import between
from ganzoo.run import Run
from ganzoo.serve import serve
from ganzoo.serve.app import trusted
from ganzoo.serve.explorer import Explorer, Place, first_activations, principal

browser = test_report.browser
TINY = ("--arch", "dcgan:width=4,latent=4", "--data", "digits:size=16", "--batch", 8, "--device", "cpu")
SECRET = "the secret of another folder"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> dict[str, Path]:
    """Two short runs, of pictures and of points. Copied by those who change them."""
    home = tmp_path_factory.mktemp("finished")
    often = {
        "steps": 12,
        "batch": 8,
        "log_every": 1,
        "sample_every": 3,
        "save_every": 0,
        "device": "cpu",
        "quiet": True,
    }
    train(arch="dcgan:width=4,latent=4", loss="hinge", data="digits:size=16", out=home / "pictures", **often)
    train(arch="mlp:width=8,layers=1,latent=4", loss="hinge", data="ring", out=home / "points", **often)
    return {name: home / name for name in ("pictures", "points")}


class Server:
    """A real `ganzoo serve`, and the folder that it serves."""

    def __init__(self, folder: Path, *words: object):
        self.folder = folder
        self.process = subprocess.Popen(
            command("serve", folder, "--port", 0, *words),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.search(r"http://\S+/", said)
        assert found, said + (self.process.stderr.read() if self.process.stderr else "")
        self.url = found[0].rstrip("/")

    def ask(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """An answer to exactly this path: a client that tidies it would hide what is tested. Its `body` is text."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.content = answer.read()
        answer.body = answer.content.decode("utf-8", "replace")
        connection.close()
        return answer

    def stop(self) -> tuple[int, str]:
        """Ctrl-C; returns the exit status and what it had said of errors."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """One server for all tests, of a folder that is empty when it starts: runs are put there later."""
    started = Server(tmp_path_factory.mktemp("served"))
    yield started
    code, errors = started.stop()
    assert (code, errors) == (0, "")


@pytest.fixture
def put(server, finished) -> Iterator:
    """Put a copy of a finished run into the served folder, under a name; returns its folder."""
    there: list[Path] = []

    def copied(name: str, of: str = "pictures") -> Path:
        there.append(server.folder / name)
        shutil.copytree(finished[of], there[-1])
        return there[-1]

    yield copied
    for folder in there:
        shutil.rmtree(folder)


@pytest.fixture
def look(browser, server):
    """Open a page of the server; whatever it complains of, asks another host for or pops up fails the test."""
    complaints, contexts = [], []
    own = (server.url, "data:", "blob:")

    def opened(path: str, width: int = 1280, height: int = 900, **how):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **how))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        tab.on("request", lambda request: request.url.startswith(own) or complaints.append(request.url))
        tab.goto(server.url + path)
        settle(tab)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def logged(folder: Path, *records: dict) -> None:
    with (folder / "log.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def until(tab, condition: str) -> None:
    """Wait until a condition holds in the page. (Playwright's own way is what the page's policy forbids: eval.)"""
    for _ in range(600):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(50)
    pytest.fail(f"it never came to {condition}")


def address(server: Server, folder: Path) -> str:
    """The address of a run's page, as the list gives it."""
    slugs = re.findall(r'<h2><a href="(/run/[^"]+/)">', server.ask("/").body)
    by_name = {slug: server.ask(slug).body for slug in slugs}
    return next(slug for slug, text in by_name.items() if f"<h1>{_escaped(folder.name)}</h1>" in text)


def _escaped(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))


# The command


def test_it_ends_with_ctrl_c_and_open_pages_say_so(finished, browser, ganzoo):
    started = Server(finished["pictures"], "--host", "0.0.0.0")  # a run itself, not a folder of runs
    port = urlsplit(started.url).port
    taken = ganzoo("serve", finished["pictures"], "--port", port, code=1).stderr
    assert re.fullmatch(rf"ganzoo: cannot listen on port {port} of 127.0.0.1 .*--port 0\n", taken)
    assert started.ask("/", Host="192.168.7.7:80").status == 200  # it listens there too; numbers cannot be rebound
    assert started.ask("/", Host="strange.example").status == 403
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(started.url + "/run/pictures/")
    code, errors = started.stop()
    assert code == 0
    assert "whoever reaches this machine" in errors
    tab.get_by_text("No answer from ganzoo serve").wait_for()
    assert tab.get_by_role("heading", name="Curves").is_visible()
    context.close()


def test_what_cannot_be_served_is_told_in_a_sentence(tmp_path, ganzoo):
    assert "there is no folder" in ganzoo("serve", tmp_path / "nothing", code=1).stderr
    with pytest.raises(UsageError, match="no address of this machine"):
        serve([tmp_path], host="no such host")


# The list


def test_the_list_says_what_matters_of_each_run(look, put):
    folder = put("first run")
    put("points")
    logged(folder, {"step": 13, "seconds": 9.5, "loss/generator": 0.123456, "warnings": ["a", "b"]})
    (folder / "warnings.jsonl").write_text('{"step": 1, "warning": "b"}\n{"step": 2, "warning": "c"}\n')
    configure(folder, lambda values: values.update(steps=1000))
    tab = look("/")
    item = tab.get_by_role("listitem").filter(has_text="first run")
    told = item.inner_text()
    assert "running step 13 of 1,000" in told
    assert re.search(r"loss/generator\s+0.12346", told)
    assert "3 warnings" in told
    assert "finished step 12" in tab.get_by_role("listitem").filter(has_text="points").inner_text()
    picture = tab.get_by_role("img", name="Samples of first run")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    tab.get_by_role("link", name="first run", exact=True).click()
    assert tab.get_by_role("heading", level=1).inner_text() == "first run"
    assert tab.get_by_role("heading", name="Warnings").is_visible()


def test_a_run_that_nobody_writes_any_more_has_stopped(put, server):
    import os

    folder = put("old")
    configure(folder, lambda values: values.update(steps=1000))
    assert 'class="state running"' in server.ask(address(server, folder)).body
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    assert 'class="state stopped"' in server.ask(address(server, folder)).body


def test_runs_that_appear_and_grow_are_shown_without_reloading(look, put):
    tab = look("/")
    assert tab.get_by_text("There is no run yet").is_visible()
    folder = put("new")
    link = tab.get_by_role("link", name="new", exact=True)
    link.wait_for()
    assert tab.get_by_text("There is no run yet").is_hidden()
    link.focus()
    tab.evaluate("window.same = true")
    logged(folder, {"step": 4321, "seconds": 9.5, "loss/generator": 0.125})
    tab.get_by_text("step 4,321").wait_for()
    assert tab.evaluate("window.same && document.activeElement.textContent") == "new"
    shutil.copytree(folder, folder.parent / "sweep" / "inner")
    tab.get_by_role("link", name="sweep/inner", exact=True).wait_for()
    shutil.rmtree(folder.parent / "sweep")
    tab.get_by_role("link", name="sweep/inner", exact=True).wait_for(state="detached")


def test_a_folder_that_is_not_a_whole_run_is_listed_with_its_problem(put, server):
    (put("broken") / "config.json").write_text('{"cut sho')
    page = server.ask("/").body
    assert "cannot read" in page
    assert server.ask("/run/broken/").status == 409


def test_two_runs_of_one_name_are_told_apart(finished, tmp_path):
    from ganzoo.serve.shelf import Shelf

    paths = [tmp_path / parent / "run" for parent in ("a", "b")]
    for path in paths:
        shutil.copytree(finished["points"], path)
    found = Shelf(paths).runs()
    assert [shelved.name for shelved in found.values()] == ["run", "b/run"]
    assert [shelved.path for shelved in found.values()] == paths


# A run's page, live


def test_a_live_page_keeps_what_its_reader_has_set(look, put):
    folder = put("live")
    (folder / "measures.jsonl").write_text('{"step": 3, "name": "modes", "value": 8, "protocol": {"count": 10}}\n')
    tab = look("/run/live/")
    loss = tab.locator(".chart").first
    loss.scroll_into_view_if_needed()
    drag(tab, 0.3, 0.7)
    zoomed = shown_steps(tab)
    loss.get_by_role("button", name="loss/discriminator").click()
    tab.get_by_text("how it was taken").click()
    tab.get_by_role("button", name="Earlier samples").click()
    before = drawn(tab)
    logged(folder, *({"step": step, "loss/discriminator": 5, "loss/generator": step} for step in range(13, 31)))
    shutil.copy(folder / "samples/step-00000012.png", folder / "samples/step-00000030.png")
    tab.locator("#facts").get_by_text("30", exact=True).wait_for()
    assert shown_steps(tab) == zoomed
    assert drawn(tab) == before
    assert loss.get_by_role("button", name="loss/discriminator").get_attribute("aria-pressed") == "false"
    assert tab.locator(".protocol").is_visible()
    assert tab.locator("#sample figcaption").inner_text() == "After step 9"
    tab.get_by_role("button", name="Show all").click()
    assert shown_steps(tab) == [1, 30]
    settle(tab)
    assert loss.locator(".at").inner_text() == "last, step 30"
    for _ in range(2):
        tab.get_by_role("button", name="Later samples").click()
    assert tab.locator("#sample figcaption").inner_text() == "After step 30"
    shutil.copy(folder / "samples/step-00000012.png", folder / "samples/step-00000040.png")
    tab.get_by_text("After step 40").wait_for()  # who looks at the last samples goes on with them


def test_a_new_curve_and_a_new_measure_appear(look, put):
    folder = put("growing")
    log(folder, [])
    shutil.rmtree(folder / "samples")
    tab = look("/run/growing/")
    assert tab.get_by_text("Nothing has been logged yet").is_visible()
    logged(folder, {"step": 1, "loss/generator": 1.5})
    tab.get_by_role("button", name="loss/generator 1.5").wait_for()
    logged(folder, {"step": 2, "loss/generator": 2.5, "loss/other": 1, "score/real": 1, "warnings": [HOSTILE]})
    tab.get_by_role("button", name="score/real 1").wait_for()
    assert tab.get_by_role("button", name="loss/other 1").is_visible()
    assert tab.locator(".chart").count() == 2
    assert tab.locator("#warnings li").inner_text().startswith(HOSTILE)
    (folder / "measures.jsonl").write_text('{"step": 2, "name": "modes", "value": 8}\n')
    tab.get_by_role("rowheader", name="modes").wait_for()
    log(folder, [{"step": 1, "loss/generator": 9}])  # it went on from an earlier checkpoint
    tab.get_by_role("button", name="loss/generator 9").wait_for()


@pytest.mark.slow
def test_a_run_that_trains_in_another_process_is_followed(look, server):
    out = server.folder / "training"
    words = ("--loss", "hinge", "--steps", 1_000_000, "--log-every", 1, "--sample-every", 20, "--save-every", 20)
    process = subprocess.Popen(
        command("train", *TINY, *words, "--out", out),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        tab = look("/")
        tab.get_by_role("link", name="training", exact=True).click(timeout=60_000)
        steps = "+document.querySelector('#facts dd').textContent.split(' of ')[0].replaceAll(',', '')"
        until(tab, f"{steps} > 5")
        seen = tab.evaluate(steps)
        until(tab, f"{steps} > {seen}")
        assert tab.locator(".state").inner_text() == "running"
        tab.get_by_role("link", name="Explore what it makes").click()
        tab.get_by_text("Checkpoint of step").wait_for()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    tab.close()
    shutil.rmtree(out)


def test_what_is_unchanged_is_not_made_again(put, server):
    folder = put("still")
    for path in ("/", "/run/still/"):
        first = server.ask(path)
        again = server.ask(path, If_None_Match=first.getheader("ETag"))
        assert (again.status, again.content) == (304, b"")
    logged(folder, {"step": 13})
    for path in ("/", "/run/still/"):
        assert server.ask(path, If_None_Match=first.getheader("ETag")).status == 200


# The explorer


def pixels(tab) -> str:
    """The picture that is shown, once what was asked for is there."""
    until(tab, "!document.getElementById('explorer').ariaBusy")
    return tab.evaluate(
        """() => {
             const picture = document.getElementById("picture"), canvas = document.createElement("canvas");
             Object.assign(canvas, { width: picture.naturalWidth, height: picture.naturalHeight });
             canvas.getContext("2d").drawImage(picture, 0, 0);
             return canvas.toDataURL();
           }"""
    )


def test_every_control_changes_the_picture(look, put):
    put("pictures")
    tab = look("/run/pictures/explore")
    start = pixels(tab)
    assert tab.get_by_text("Checkpoint of step 12").is_visible()
    seen = [start]
    for name, key in (("Direction 1", "End"), ("On the way", "End"), ("Truncation", "End")):
        tab.get_by_label(name).focus()
        tab.keyboard.press(key)
        seen.append(pixels(tab))
    tab.get_by_role("button", name="Random seed to walk to").click()
    seen.append(pixels(tab))
    tab.get_by_label("On the way").press("Home")
    tab.get_by_label("Seed", exact=True).fill("7")
    seen.append(pixels(tab))
    assert len(set(seen)) == 6
    tab.get_by_label("Seed", exact=True).press("Tab")
    tab.reload()
    assert tab.get_by_label("Seed", exact=True).input_value() == "7"  # the address keeps the place
    assert tab.get_by_label("Direction 1").input_value() == "6"
    assert pixels(tab) == seen[-1]
    tab.get_by_role("button", name="Reset directions").click()
    tab.get_by_label("Seed", exact=True).fill("0")
    tab.get_by_label("Truncation").fill("1")
    assert pixels(tab) == start


def test_sliders_work_with_the_arrows_and_every_control_has_the_focus_in_turn(look, put):
    put("pictures")
    tab = look("/run/pictures/explore")
    slider = tab.get_by_label("Direction 2")
    slider.focus()
    before = pixels(tab)
    for _ in range(9):
        tab.keyboard.press("ArrowRight")
    assert slider.input_value() == "0.9"
    assert tab.locator("output[for=move-2]").inner_text() == "0.9"
    assert pixels(tab) != before
    wanted = tab.locator("a[href], button:enabled, input, select:enabled").count()
    reached = set()
    for _ in range(wanted + 5):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
    assert len(reached - {-1}) >= wanted
    assert tab.locator("input:not(label input), select:not(label select)").count() == 0


def test_dragging_does_not_queue_up(look, put):
    put("pictures")
    tab = look("/run/pictures/explore")
    pixels(tab)
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.get_by_label("Truncation").evaluate(
        """slider => { for (let value = 0; value < 1.5; value += 0.05) {
             slider.value = value; slider.dispatchEvent(new Event("input", { bubbles: true })); } }"""
    )
    pixels(tab)
    places = [url for url in asked if "explore.png" in url]
    assert len(places) == 2  # the first, and the newest after it
    assert "truncation=1.45" in places[-1]


def test_what_is_saved_is_the_first_sample_of_the_seed(look, put, tmp_path):
    folder = put("pictures")
    tab = look("/run/pictures/explore#seed=5")
    pixels(tab)
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Save PNG").click()
    assert download.value.suggested_filename == "pictures-seed-5.png"
    download.value.save_as(tmp_path / "saved.png")
    Run.open(folder).write(tmp_path / "one.png", count=1, seed=5)
    saved, sampled = (numpy.array(Image.open(tmp_path / name)).astype(int) for name in ("saved.png", "one.png"))
    assert saved.shape == (16, 16)
    assert numpy.abs(saved - sampled).max() <= 1


def test_small_pictures_are_shown_crisp_and_whole(look, put):
    put("pictures")
    for width in (1280, 390):
        tab = look("/run/pictures/explore", width, 844)
        pixels(tab)
        image = tab.get_by_role("img", name="What the generator makes")
        box = image.bounding_box()
        assert (box["width"] - 2) % 16 == 0
        assert box["width"] == box["height"] > 200
        assert image.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"


def test_a_walk_plays_and_pauses(look, put):
    put("pictures")
    tab = look("/run/pictures/explore")
    start = pixels(tab)
    tab.get_by_role("button", name="Play").click()
    until(tab, "document.getElementById('at').value > 0.02")
    tab.get_by_role("button", name="Pause").click()
    assert pixels(tab) != start
    tab.get_by_label("On the way").fill("1")
    tab.get_by_role("button", name="Play").click()
    until(tab, "document.getElementById('seed').value == 1")  # there: from here to a new one


def test_nothing_moves_by_itself_where_that_is_not_wanted(look, put):
    put("pictures")
    tab = look("/run/pictures/explore", reduced_motion="reduce")
    pixels(tab)
    for value in ("0.1", "0.2"):
        tab.get_by_role("button", name="Step").click()
        pixels(tab)
        assert tab.get_by_label("On the way").input_value() == value
    assert tab.get_by_role("button", name="Pause").count() == 0


def test_points_are_explored_as_a_scatter_picture(look, put):
    put("points", of="points")
    tab = look("/run/points/explore")
    first = pixels(tab)
    assert tab.evaluate("document.getElementById('picture').naturalWidth") == 512
    tab.get_by_label("Direction 1").press("End")
    assert pixels(tab) != first


def test_what_cannot_be_explored_says_why(put, server):
    folder = put("words")
    configure(folder, lambda values: values["spec"].update(kind="tokens"))
    assert "this run makes tokens; only generators of pictures or points" in server.ask("/run/words/explore").body
    assert "Explore" not in server.ask("/run/words/").body
    shutil.rmtree(put("young") / "checkpoints")
    assert "no checkpoint yet" in server.ask("/run/young/explore").body
    damaged = put("damaged") / "checkpoints/step-00000012/state.json"
    damaged.write_text(damaged.read_text().replace("12", "13"))
    answer = server.ask("/run/damaged/explore")
    assert answer.status == 409
    assert "is damaged" in answer.body


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("seed=x", "seed is a whole number, got 'x'"),
        ("truncation=nan", "truncation is a number from 0 to 2"),
        ("at=1.5", "at is a number from 0 to 1"),
        ("label=99", "there is no class 99; this run has 10"),
        ("label=-1", "there is no class -1"),
        ("moves=" + ",".join("1" * 9), "9 moves were asked for; there are 4 directions"),
        ("moves=1e9", "moves is a number from -10 to 10"),
        ("seed=" + "9" * 5000, "seed is a whole number"),
        ("file=/etc/passwd", "a place has no 'file'"),
    ],
)
def test_a_place_that_is_none_is_refused_in_a_sentence(server, put, words, sentence):
    put("pictures")
    answer = server.ask("/run/pictures/explore.png?" + words)
    assert answer.status == 400
    assert answer.body.startswith(sentence)
    assert answer.getheader("Content-Type").startswith("text/plain")


def test_ends_of_a_walk_truncation_and_labels(finished):
    run = Run.open(finished["pictures"])
    explorer = Explorer(run, 12)
    assert explorer.picture(Place(seed=3, to=4, at=1.0)) == explorer.picture(Place(seed=4))
    assert explorer.picture(Place(seed=3, truncation=0)) == explorer.picture(Place(seed=4, truncation=0))
    assert explorer.picture(Place(seed=3, label=2)) == explorer.picture(Place(seed=3))
    assert not explorer.uses_labels
    before = torch.random.get_rng_state()
    explorer.picture(Place(seed=3))
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(UsageError, match="no class"):
        explorer.picture(Place(label=10))


class Mapped(nn.Module):
    """A generator in two halves; the mapped space is twice as wide as the latent's, and three away."""

    def forward(self, latent, label):
        return self.synthesis(self.mapping(latent, label))

    def mapping(self, latent, label):
        return 2 * latent + 3

    def synthesis(self, mapped):
        shade = torch.tanh(mapped[:, :1] - 3)
        return shade[..., None, None].expand(-1, 1, 16, 16)


def test_a_mapped_space_is_where_truncation_and_directions_are(finished, monkeypatch):
    run = Run.open(finished["pictures"])
    procedure = type(run.game().procedure)
    monkeypatch.setattr(procedure, "sampling_network", lambda self, game: Mapped())
    explorer = Explorer(run, 12)
    assert explorer.space.mapped
    assert explorer.mean.flatten().tolist() == pytest.approx([3] * 4, abs=0.3)
    assert explorer.directions.flatten(1).norm(dim=1).tolist() == pytest.approx([2] * 4, rel=0.1)
    middle = numpy.array(Image.open(io.BytesIO(explorer.picture(Place(truncation=0)))))
    assert abs(int(middle[0, 0]) - 127) < 40


def test_what_translates_is_not_explored(finished, tmp_path):
    folder = shutil.copytree(finished["pictures"], tmp_path / "run")
    configure(folder, lambda values: values["spec"].update(source=[1, 16, 16]))
    with pytest.raises(RunError, match="translates"):
        Explorer(Run.open(folder), 12)


def test_directions_of_a_linear_layer_are_its_singular_vectors():
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(6, 6))[0]
    sizes = torch.tensor([5.0, 3.0, 1.0, 0.0, 0.0, 0.0])
    latents = torch.randn(20_000, 6)
    found = principal(latents @ rotation * sizes, latents)
    assert found.shape == (3, 6)  # three ways to move, however many were asked for
    assert (found @ rotation[:, :3]).abs().diag().tolist() == pytest.approx([1] * 3, abs=0.05)
    assert found.abs().argmax(1).tolist() == [int(row.argmax()) for row in found]  # the largest part is positive


def test_only_the_first_layer_runs_and_a_label_s_embedding_is_none():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.later = nn.Linear(3, 2)
            self.first, self.classes = nn.Linear(4, 3), nn.Embedding(5, 3)

        def forward(self, latent, label):
            shift = self.classes(label)
            self.later(self.first(latent) + shift)
            raise AssertionError("the network went on after its first layer")

    network, latents = Network(), torch.randn(700, 4)
    found = first_activations(network, latents, torch.zeros(700, dtype=torch.int64))
    torch.testing.assert_close(found, network.first(latents))
    assert not network.first._forward_hooks
    assert first_activations(Mapped(), latents, None) is None


def test_a_walk_stays_on_the_circle():
    torch.manual_seed(0)
    start, end = (nn.functional.normalize(torch.randn(8, 5), dim=1) for _ in range(2))
    for at in (0.0, 0.25, 0.5, 1.0):
        assert between(start, end, at).norm(dim=1).tolist() == pytest.approx([1] * 8, abs=1e-5)
    torch.testing.assert_close(between(start, end, 0.0), start)
    torch.testing.assert_close(between(start, end, 1.0), end)
    torch.testing.assert_close(between(start, start, 0.3), start)
    torch.testing.assert_close(
        between(start.view(8, 5, 1), end.view(8, 5, 1), 0.3).flatten(1), between(start, end, 0.3)
    )
    assert torch.isfinite(between(start, -start, 0.5)).all()


# Who may ask for what


@pytest.mark.parametrize("header", ["localhost:80", "127.0.0.1", "[::1]:9", "LOCALHOST", "my.host:1"])
def test_hosts_that_are_answered(header):
    assert trusted(header, "my.host")


@pytest.mark.parametrize(
    "header",
    [
        *("", "strange.example", "localhost.strange.example", "127.0.0.1.strange.example:80", "192.168.0.1"),
        *("a@localhost", "localhost:80@strange.example", "[::1]x", "localhost/x", "127.0.0.1:80:80"),
    ],
)
def test_hosts_that_are_not(header):
    assert not trusted(header, "127.0.0.1")


@pytest.mark.parametrize("path", ["/", "/run/pictures/", "/run/pictures/explore.png", "/static/page.css", "/nothing"])
def test_a_foreign_host_is_refused_everywhere(server, put, path):
    put("pictures")
    answer = server.ask(path, Host="strange.example")
    assert answer.status == 403
    assert "pictures" not in answer.body


@pytest.mark.parametrize("path", ["/", "/run/pictures/", "/run/pictures/explore", "/run/pictures/samples/12.png", "/x"])
def test_every_answer_is_fenced_in(server, put, path):
    put("pictures")
    headers = dict(server.ask(path).getheaders())
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(server, put, method):
    put("pictures")
    for path in ("/", "/run/pictures/", "/run/pictures/explore.png"):
        assert server.ask(path, method).status == 405


CLIMBS = ("..", "%2e%2e", "%2E%2E%2F", "..%2f..", "%252e%252e", "..%5c..", "pictures%2f..", "%00", "~", "//etc")


@pytest.mark.parametrize("climb", CLIMBS)
def test_no_path_leads_out(server, put, climb):
    put("pictures")
    secret = server.folder.parent / "secret.txt"
    secret.write_text(SECRET)
    for path in (
        f"/{climb}/secret.txt",
        f"/run/{climb}/",
        f"/run/{climb}/secret.txt",
        f"/run/pictures/{climb}/secret.txt",
        f"/run/pictures/samples/{climb}/12.png",
        f"/run/pictures/samples/{climb}",
        f"/static/{climb}/app.py",
    ):
        answer = server.ask(path)
        assert answer.status in (301, 308, 404), path
        assert SECRET not in answer.body
        assert "import" not in answer.body
    for name in ("config.json", "log.jsonl", "samples/../config.json", "checkpoints/step-00000012/state.json"):
        assert server.ask(f"/run/pictures/{name}").status == 404


def test_links_that_lead_out_are_not_followed(server, put, finished, tmp_path):
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, SECRET: 1}) + "\n")
    picture = tmp_path / "step-00000077.png"
    shutil.copy(finished["pictures"] / "samples/step-00000012.png", picture)
    sample = put("sample")
    (sample / "samples" / picture.name).symlink_to(picture)
    assert server.ask("/run/sample/samples/77.png").status == 404
    assert server.ask("/run/sample/samples/12.png").status == 200
    linked = put("linked")
    (linked / "log.jsonl").unlink()
    (linked / "log.jsonl").symlink_to(tmp_path / "log.jsonl")
    for path in ("/", "/run/linked/"):
        assert "log.jsonl is a link that leads out" in (answer := server.ask(path)).body
        assert SECRET not in answer.body
    weights = put("weights") / "checkpoints/step-00000012/state.safetensors"
    shutil.move(weights, tmp_path / "state.safetensors")
    weights.symlink_to(tmp_path / "state.safetensors")
    assert "is a link that leads out" in server.ask("/run/weights/explore").body
    (server.folder / "elsewhere").symlink_to(finished["pictures"])
    assert "elsewhere" not in server.ask("/").body
    assert server.ask("/run/elsewhere/").status == 404
    (server.folder / "elsewhere").unlink()


def hostile(folder: Path) -> Path:
    """A run whose name, classes, numbers and warnings are attacks, as far as a file system allows."""
    home = folder.rename(folder.with_name(HOSTILE.replace("/", "∕")))
    configure(home, lambda values: values["spec"].update(classes=[HOSTILE, "x" * 300]))
    log(home, [{"step": 1, f"loss/{HOSTILE}": 1, "loss/generator": HOSTILE, "warnings": [HOSTILE]}])
    return home


@pytest.fixture
def attacked(put) -> Iterator[Path]:
    home = hostile(put("attacked"))
    yield home
    home.rename(home.with_name("attacked"))


def test_hostile_names_stay_text(look, server, attacked):
    place = address(server, attacked)
    assert re.fullmatch(r"/run/[A-Za-z0-9._-]+/", place)
    tab = look("/")
    assert tab.get_by_role("heading", level=2).inner_text() == attacked.name
    assert HOSTILE in tab.locator(".numbers").inner_text()
    assert tab.locator("img").count() == 1
    tab.goto(server.url + place)
    assert tab.get_by_role("heading", level=1).inner_text() == attacked.name
    tab.goto(server.url + place + "explore")
    pixels(tab)
    assert tab.get_by_label("Class").locator("option").all_inner_texts()[1] == HOSTILE
    assert tab.locator("img").count() == 1


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_sticks_out_sideways(look, server, attacked, width):
    place = address(server, attacked)
    for path in ("/", place, place + "explore"):
        tab = look(path, width, 844)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_dark_where_that_is_preferred(look, put):
    put("pictures")
    for path in ("/", "/run/pictures/explore"):
        colour = look(path, color_scheme="dark").evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", colour)[:3])) < 100


def test_without_a_script_the_pages_still_say_what_matters(browser, put, server):
    put("pictures")
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(server.url)
    assert tab.get_by_role("link", name="pictures", exact=True).is_visible()
    tab.goto(server.url + "/run/pictures/explore")
    assert tab.get_by_text("The explorer needs JavaScript").is_visible()
    context.close()


# Sound and films


def test_sound_and_films_are_served_and_play(look, put, server):
    home = test_report.with_media(put("pictures"))
    page = server.ask("/run/pictures/").body
    assert 'hidden src="/run/' not in page
    (place,) = set(re.findall(r'"sound":"(/run/pictures/samples/00000001\.wav\?[0-9a-f]+)"', page))
    whole = server.ask(place)
    wave = (home / "samples" / "step-00000001.wav").read_bytes()
    assert (whole.status, whole.getheader("Content-Type"), whole.content) == (200, "audio/wav", wave)
    part = server.ask(place, Range="bytes=10-19")
    assert (part.status, part.content) == (206, wave[10:20])
    assert server.ask("/run/pictures/samples/00000003.gif").content[:3] == b"GIF"
    assert server.ask("/run/pictures/thumbnails/00000003.png").content[1:4] == b"PNG"
    for missing in ("samples/3.wav", "samples/4.csv", "samples/9.gif", "thumbnails/2.png"):
        assert server.ask(f"/run/pictures/{missing}").status == 404
    tab = look("/run/pictures/")
    for _ in range(4):
        tab.get_by_role("button", name="Earlier samples").click()
    assert test_report.duration(tab) == pytest.approx(1.1, abs=0.01)


def test_who_listens_is_not_taken_on_to_newer_samples(look, put):
    home = test_report.with_media(put("pictures"))
    for step in (2, 3, 4, 5):
        next((home / "samples").glob(f"step-0000000{step}.*")).unlink()
    tab = look("/run/pictures/")
    tab.locator("audio").evaluate("sound => { sound.loop = sound.muted = true; return sound.play(); }")
    shutil.copy(home / "samples" / "step-00000001.png", home / "samples" / "step-00000007.png")
    until(tab, "document.getElementById('when').max === '1'")
    assert tab.locator("#sample figcaption").inner_text() == "After step 1"
    assert not tab.locator("audio").evaluate("sound => sound.paused")
