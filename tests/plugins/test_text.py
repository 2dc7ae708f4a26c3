"""Words: text read and written, an LSTM that writes it, and the policy gradient against what enumeration gives."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from conftest import invoke
from torch import Tensor

import ganzoo as library
from ganzoo import DataError, Draws, Evidence, Request, Sample, Scores, Spec, UsageError
from ganzoo.config import resolve
from ganzoo.game import Game
from ganzoo.registry import installed
from ganzoo.training import build
from ganzoo_plugins.architectures.seqgan import Reader, Writer, drawn
from ganzoo_plugins.datasets.seqgan_oracle import load_oracle, sentences_of
from ganzoo_plugins.metrics.bleu import References
from ganzoo_plugins.metrics.oracle_likelihood import surprise

REGISTRY = installed()
TINY = 'seqgan:embedding=3,hidden=3,discriminator_embedding=3,widths="1,2",filters="2,2"'


@pytest.fixture(autouse=True)
def _nobodys_random_numbers():
    with torch.random.fork_rng(devices=[]):
        yield


def opened(path: Path, **options: Any) -> Any:
    return REGISTRY.make("dataset", "tokens", {"path": str(path), **options}).open()


def written(folder: Path, text: str | bytes, name: str = "text.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# Text


def test_words_stand_by_how_often_they_occur(tmp_path):
    data = opened(written(tmp_path, "b a b\n\nc b a c d\n"))
    assert data.spec.encoding == {
        "vocabulary": ["<end>", "<unk>", "b", "a", "c", "d"],
        "counts": [0, 0, 3, 2, 2, 1],
        "end": 0,
        "unknown": 1,
    }
    assert data.fetch([0, 1]).sample.tolist() == [[2, 3, 2, 0, 0], [4, 2, 3, 4, 5]]
    assert data.notes == ("tokens: 1 lines without words are left out",)


def test_what_is_cut_or_unknown_is_counted(tmp_path):
    path = written(tmp_path, "b a b\nc b a c d e\n")
    data = opened(path, length=4, words=2)
    assert data.spec.encoding["vocabulary"] == ["<end>", "<unk>", "b", "a"]
    assert data.fetch([0, 1]).sample.tolist() == [[2, 3, 2, 0], [1, 2, 3, 1]]
    assert data.notes == (
        "tokens: 1 of 2 sentences are cut to 4 words",
        "tokens: 2 of 7 words are not in the vocabulary and become <unk>",
    )
    assert opened(path, least=2).spec.encoding["vocabulary"][2:] == ["b", "a", "c"]


def test_the_word_for_unknown_may_stand_in_the_text(tmp_path):
    data = opened(written(tmp_path, "a <unk> b <end>\r\na\r\n"))
    assert data.spec.encoding["vocabulary"] == ["<end>", "<unk>", "a", "b"]
    assert data.fetch([0, 1]).sample.tolist() == [[2, 1, 3], [2, 0, 0]]
    assert "the word <end>, which marks the end, is left out 1 times" in data.notes[0]


def test_the_second_file_is_read_in_the_words_of_the_first(tmp_path):
    first, second = written(tmp_path, "a b\nb\n"), written(tmp_path, "b new a a\nb\n", "more.txt")
    train, test = (opened(first, test=str(second), split=split) for split in ("train", "test"))
    assert train.spec == test.spec
    assert test.fetch([0]).sample.tolist() == [[2, 1]]
    assert train.fingerprint() != test.fingerprint()


def test_samples_are_text_without_their_ends(tmp_path):
    data = REGISTRY.make("dataset", "tokens", {"path": str(written(tmp_path, "the cat sleeps\nyes\n"))})
    collection = data.open()
    assert data.decode(collection.samples, collection.spec) == ["the cat sleeps", "yes"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "has 0 lines with words"),
        (b"\n  \n", "has 0 lines with words"),
        (b"one line of words\n", "has 1 line with words"),
        (b"good\nb\xe9d\n", "line 2 is not UTF-8 (byte 0xe9)"),
        (b"\xff\xfea\x00\n\x00", "line 1 is not UTF-8"),
        (b"PK\x03\x04\x00\x00\nmore\n", "bytes that no text has"),
        (b"a " * 600 + b"\nb\n", "the longest line has 600 words"),
    ],
)
def test_text_that_is_none_is_refused_in_a_sentence(tmp_path, text, said):
    path = written(tmp_path, text)
    done = invoke("train", "--arch", TINY, "--data", path, "--steps", "1", "--out", tmp_path / "run", code=1)
    assert said in done.stderr
    assert str(path) in done.stderr


def test_options_that_cannot_be_are_refused(tmp_path):
    path = written(tmp_path, "a b\nb\n")
    for options in ({"split": "test"}, {"length": 0}, {"words": 0}, {"least": 0}):
        with pytest.raises(UsageError):
            opened(path, **options)
    with pytest.raises(DataError, match="no word occurs 9 times"):
        opened(path, least=9)


def test_the_grammar_agrees_with_itself():
    data = REGISTRY.make("dataset", "sentences", {"count": 500})
    collection = data.open()
    lines = [line.split() for line in data.decode(collection.samples, collection.spec)]
    assert {len(line) for line in lines} == {3, 4, 5, 6, 7}
    many = {"cats", "dogs", "birds", "children", "horses", "flocks"}
    for line in lines:
        verb = next(word for word in line if word.rstrip("s") in ("see", "like", "hear", "follow", "find", "sleep"))
        assert verb.endswith("s") == (line[line.index(verb) - 1] not in many), line


# The generator


def writer(words: int = 5, size: int = 4, scale: float = 8.0) -> Writer:
    torch.manual_seed(0)
    made = Writer(words, size, size)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(scale)
    return made.requires_grad_(True)


def every_sentence(words: int, length: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(words), repeat=length)))


def test_words_are_drawn_as_often_as_they_are_likely():
    made, every = writer(3), every_sentence(3, 2)
    likely = made.log_likelihood(every).sum(1).exp()
    assert likely.sum().item() == pytest.approx(1, abs=1e-5)
    count = 20_000
    found = made(Draws(0).uniform("words", count, 2))
    shares = torch.bincount(found[:, 0] * 3 + found[:, 1], minlength=9) / count
    assert ((shares - likely).abs() <= 4 * (likely * (1 - likely) / count).sqrt()).all()
    assert likely.max() > 3 * likely.min()


def test_no_word_without_a_share_is_drawn():
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]]).expand(4, 5)
    uniforms = torch.tensor([0.0, 0.4999, 0.5, 1 - 2**-24])
    assert drawn(logits, uniforms).tolist() == [1, 1, 3, 3]


def test_temperature_sharpens():
    made, uniforms = writer(5), Draws(1).uniform("words", 400, 6)
    surprises = [float(surprise(made, made(uniforms, None, heat)).mean()) for heat in (0.0, 0.5, 1.0)]
    assert surprises[0] < surprises[1] < surprises[2]
    assert len(made(uniforms, None, 0.0).unique(dim=0)) == 1


def test_rollouts_keep_what_is_known_and_write_the_rest_as_it_is_likely():
    made, copies, length = writer(3), 2000, 4
    sentences = made(Draws(0).uniform("words", 3, length))
    ends = made.rollouts(sentences, Draws(1).uniform("rollouts", 3, copies, length - 1, length - 1))
    assert ends.shape == (length - 1, copies, 3, length)
    for known in range(1, length):
        assert (ends[known - 1, :, :, :known] == sentences[:, :known]).all()
    # The ends of one beginning against the likelihood of each.
    every = every_sentence(3, 2)
    for row in range(3):
        whole = torch.cat([sentences[row, :2].expand(9, 2), every], dim=1)
        likely = made.log_likelihood(whole)[:, 2:].sum(1).exp()
        found = ends[1, :, row, 2:]
        shares = torch.bincount(found[:, 0] * 3 + found[:, 1], minlength=9) / copies
        assert ((shares - likely).abs() <= 4.5 * (likely * (1 - likely) / copies).sqrt()).all()


def test_networks_have_the_published_sizes():
    config = resolve(REGISTRY, {"recipe": "seqgan-oracle", "data": "seqgan-oracle:path=nowhere"})
    architecture = config.make(REGISTRY).architecture
    spec = Spec("tokens", (20,), encoding={"vocabulary": [str(word) for word in range(5000)]})
    networks = architecture.build(spec, library.Plan(spec=spec))
    count = sum(parameter.numel() for parameter in networks.generator.parameters())
    # Embeddings (and the word before the first), four gates (and torch's second bias), the output.
    assert count == 5001 * 32 + 4 * (64 * 32 + 2 * 32) + 33 * 5000
    reader = networks.discriminator
    assert isinstance(reader, Reader)
    assert reader.output.weight.shape == (2, 1720)
    assert sum(layer.weight.numel() for layer in reader.convolutions) == 64 * sum(
        width * filters for width, filters in zip(architecture.widths, architecture.filters, strict=True)
    )
    assert reader(torch.zeros(3, 20, dtype=torch.int64)).value.shape == (3,)


# The game


def played(steps: int, batch: int = 8, **words: Any) -> Game:
    config = resolve(REGISTRY, {"arch": TINY, "data": "sentences:count=64", **words, "batch": batch, "steps": steps})
    parts = config.make(REGISTRY)
    game = build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)
    for step in range(1, steps + 1):
        game.play(step)
    game.look()
    return game


PHASES = "policy-gradient:mle_steps=2,discriminator_steps=2,rounds=2,pool=9,passes=3,discriminator_batch=4,rollouts=2"


def test_the_step_tells_the_phase():
    game, seen = played(0, procedure=PHASES), []
    for step in range(1, 6):
        game.begin(step)
        position = game.stream.position
        names = []
        for move in game.procedure.moves(game, step):
            names.append(move.player.name)
            for terms in move.minimises:
                move.player.accumulate(terms)
            move.player.step(step)
        seen.append((Counter(names), game.stream.position - position, set(game.numbers())))
    terms = {"loss/discriminator", "score/real", "score/fake", "gradient/discriminator"}
    round_of_6 = {"discriminator": 6}  # of 9 sentences there are two whole moves of 4, three times
    assert seen[:2] == [({"likelihood": 1}, 8, {"loss/likelihood", "gradient/likelihood"})] * 2
    assert seen[2:4] == [(round_of_6, 24, terms)] * 2
    last = {"loss/generator", "gradient/generator", "reward/mean", "reward/sentence"}
    assert seen[4] == ({"generator": 1, "discriminator": 12}, 48, terms | last)


def test_the_delayed_copy_follows():
    game = played(4, procedure=PHASES)

    def weights(network: Any) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in network.state_dict().items()}

    before = weights(game.networks.generator)
    game.play(5)
    after, delayed = weights(game.networks.generator), weights(game.procedure.delayed.network)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    for name in before:
        assert torch.allclose(delayed[name], 0.8 * before[name] + 0.2 * after[name], atol=1e-6)
    game.play(6)
    later = weights(game.networks.generator)
    for name, value in weights(game.procedure.delayed.network).items():
        assert torch.allclose(value, 0.8 * delayed[name] + 0.2 * later[name], atol=1e-6)


def test_the_reward_is_what_the_discriminator_believes():
    """For the loss of the paper; with others it falls as the loss rises, and stays finite."""
    for loss, expected in (
        ("nonsaturating", lambda scores: scores.sigmoid()),
        ("minimax", lambda scores: 1 + torch.nn.functional.softplus(scores)),
        ("hinge", lambda scores: torch.where(scores > 0, 1 + scores, scores.exp())),
    ):
        game = played(0, procedure=PHASES, loss=loss)
        scores = torch.tensor([-90.0, -3.0, -0.1, 0.0, 0.1, 3.0, 90.0])
        game.score = lambda sentences, scores=scores: Scores(scores[sentences[:, 0]])  # type: ignore[method-assign]
        paid = game.procedure._paid(game, torch.arange(7)[:, None], 7)
        assert torch.allclose(paid, expected(scores), rtol=1e-5), loss
        assert (paid.diff() >= 0).all()
        assert paid.isfinite().all()


def test_the_last_word_is_paid_by_the_sentence_alone():
    game = played(2, procedure=PHASES)
    game.begin(5)
    sentences = game.procedure._written(game, 8)
    rewards = game.procedure.rewards(game, sentences)
    with library.evaluating(game.networks.discriminator):
        believed = game.score(sentences).value.sigmoid()
    assert rewards.shape == sentences.shape
    assert torch.allclose(rewards[:, -1], believed, atol=1e-6)
    assert game.networks.discriminator.training


@pytest.mark.parametrize("keep", [0.0, 0.8])
def test_the_gradient_is_that_of_enumeration(keep, tmp_path):
    """Three words and two steps: the mean over many batches against the sum over all nine sentences. With a delayed
    copy it is the gradient with what that copy makes of each beginning."""
    path = tmp_path / "three.npy"
    numpy.save(path, numpy.array([[0, 1], [1, 2], [2, 0], [0, 0]]))
    batch, every = 64, every_sentence(3, 2)
    options = f"mle_steps=0,discriminator_steps=0,rollouts=2,rollout_keep={keep},pool=4,discriminator_batch=4"
    game = played(0, batch, data=str(path), procedure=f"policy-gradient:{options}", loss="nonsaturating")
    network, delayed = game.networks.generator, game.procedure.delayed.network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(6)
        for name, value in delayed.state_dict().items():  # another opinion of how sentences end
            value.copy_(network.state_dict()[name] * (-0.5 if keep else 1.0))
        game.networks.discriminator.output.weight.mul_(60)
    with library.evaluating(game.networks.discriminator):
        believed = game.score(every).value.sigmoid()
    assert believed.std() > 0.1
    parameters = list(network.parameters())
    with torch.no_grad():
        ends = delayed.log_likelihood(every)[:, 1].exp()
        worth = (ends * believed).view(3, 3).sum(1).repeat_interleave(3)  # of each first word
    likely = network.log_likelihood(every)
    share = likely.sum(1).detach().exp()
    aim = (share * (likely[:, 0] * worth + likely[:, 1] * believed)).sum()
    exact = torch.cat([value.flatten() for value in torch.autograd.grad(-batch * aim, parameters)])

    found = []
    for step in range(1, 401):
        game.begin(step)
        terms = game.procedure._generator_terms(game)
        gradients = torch.autograd.grad(terms["loss/generator"], parameters)
        found.append(torch.cat([value.flatten() for value in gradients]))
    estimates = torch.stack(found).double()
    along = estimates @ (exact.double() / exact.norm())
    error = along.std() / math.sqrt(len(along))
    assert abs(along.mean() - exact.norm()) < 3 * error
    assert exact.norm() > 15 * error  # so that an estimate that is half as large, or of nothing, would be seen
    errors = estimates.std(0) / math.sqrt(len(estimates))
    moved = errors > 1e-9
    deviations = ((estimates.mean(0) - exact)[moved] / errors[moved]).abs()
    assert deviations.square().mean().sqrt() < 1.5
    assert deviations.max() < 4.5
    assert torch.allclose(estimates.mean(0)[~moved], exact[~moved].double(), atol=1e-6)


def test_no_reward_is_no_gradient():
    game = played(0, procedure=PHASES)
    game.procedure.rewards = lambda game, sentences: torch.zeros(sentences.shape)
    game.begin(5)
    loss = game.procedure._generator_terms(game)["loss/generator"]
    gradients = torch.autograd.grad(loss, list(game.networks.generator.parameters()))
    assert all((gradient == 0).all() for gradient in gradients)


def test_the_sum_is_the_mean_of_all_words():
    losses = []
    for reduction in ("sum", "mean"):
        game = played(0, procedure=f"{PHASES},reduction={reduction}")
        game.begin(5)
        losses.append(game.procedure._generator_terms(game)["loss/generator"].item())
    assert losses[0] == pytest.approx(8 * 7 * losses[1], rel=1e-5)


def test_words_that_are_paid_become_likelier():
    """The discriminator is kept still and believes in sentences with a certain word."""
    game = played(0, 32, procedure="policy-gradient:mle_steps=0,discriminator_steps=0,rollouts=2,rate=0.05")
    game.score = lambda sentences, *_: Scores(3.0 * (sentences == 5).float().sum(1) - 4)  # type: ignore[method-assign]

    def share() -> float:
        return (game.procedure.sample(game, Request(256)) == 5).float().mean().item()

    before = share()
    for step in range(1, 41):
        game.begin(step)
        move = next(iter(game.procedure.moves(game, step)))
        assert move.player.name == "generator"
        for terms in move.minimises:
            move.player.accumulate(terms)
        move.player.step(step)
    assert before < 0.2
    assert share() > before + 0.4


def test_the_output_penalty_is_half_the_square_of_the_last_layer():
    game = played(0, procedure=PHASES, reg=("output-penalty:weight=0.4",))
    game.begin(3)
    sentences = game.take(4).sample
    terms = game.discriminator_terms(game.procedure.discriminator, sentences, sentences)
    layer = game.networks.discriminator.output
    expected = 0.2 * (layer.weight.square().sum() + layer.bias.square().sum())
    assert terms["penalty/output-penalty"].item() == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"reg": "r1"}, "needs `smooth_samples`"),
        ({"data": "digits"}, "needs `tokens`"),
        ({"procedure": "adversarial"}, "needs `latent_generator`"),
        ({"arch": "toy-tokens", "procedure": "policy-gradient"}, "needs `rollouts`"),
        ({"procedure": "policy-gradient:pool=4"}, "pool must hold at least one discriminator_batch"),
        ({"procedure": "policy-gradient:rollout_keep=1"}, "rollout_keep lies in"),
        ({"arch": 'seqgan:widths="1,2",filters="3"'}, "2 widths and 1 filters"),
        ({"arch": 'seqgan:widths="9",filters="3"'}, "shorter than every filter"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(words, said, tmp_path):
    options = [word for name, value in {"arch": TINY, **words}.items() for word in (f"--{name}", value)]
    assert said in invoke("train", *options, "--steps", "1", "--out", tmp_path / "run", code=2).stderr


def test_a_run_is_sampled_as_text_without_its_data(tmp_path):
    path = written(tmp_path, "the cat sleeps\nthe dog sees the cat\nyes\n")
    options = ("--arch", TINY, "--procedure", f"{PHASES}", "--batch", "4")
    run, out = tmp_path / "run", tmp_path / "made.txt"
    invoke("train", *options, "--data", path, "--steps", "5", "--out", run, "--device", "cpu")
    path.unlink()
    for truncation, least in ((1, 2), (0, 1)):
        invoke("sample", run, "--count", "20", "--truncation", truncation, "--out", out)
        lines = out.read_text().split("\n")[:-1]
        assert len(lines) == 20
        assert set(" ".join(lines).split()) <= {"the", "cat", "sleeps", "dog", "sees", "yes", "<unk>"}
        assert len(set(lines)) >= least
    assert len(set(lines)) == 1  # the likeliest words only


# The oracle


def test_the_oracle_is_the_published_one(real_data):
    """5.756 +- 0.015 of its own sentences and 11.44 of words drawn evenly were measured with the authors' code."""
    oracle = load_oracle(real_data / "seqgan_oracle" / "target_params.npz")
    own = surprise(oracle, sentences_of(oracle, 1000, 20, 0))
    assert own.mean() == pytest.approx(5.756, abs=0.015 + 4 * own.std() / math.sqrt(1000))
    even = surprise(oracle, torch.randint(5000, (500, 20), generator=torch.Generator().manual_seed(0)))
    assert even.mean() == pytest.approx(11.44, abs=0.1)


def test_the_oracle_reckons_as_the_authors_formula(real_data):
    """One sentence by hand: gates of x W + h U + b, and word 0 before the first."""
    path = real_data / "seqgan_oracle" / "target_params.npz"
    with numpy.load(path) as file:
        p = {name.partition("_")[2]: file[name].astype("f8") for name in file.files}
    sentence, h, c, last, total = [17, 4999, 0, 321, 8], numpy.zeros(32), numpy.zeros(32), 0, 0.0

    def gate(name: str) -> Any:
        return p["emb"][last] @ p[f"W{name}"] + h @ p[f"U{name}"] + p[f"b{name}"]

    for word in sentence:
        i, f, o = (1 / (1 + numpy.exp(-gate(name))) for name in ("i", "f", "og"))
        c = f * c + i * numpy.tanh(gate("c"))
        h = o * numpy.tanh(c)
        logits = h @ p["Wo"] + p["bo"]
        total += logits[word] - numpy.log(numpy.exp(logits).sum())
        last = word
    found = load_oracle(path).log_likelihood(torch.tensor([sentence]))
    assert float(found.sum()) == pytest.approx(total, abs=1e-9)


def test_the_oracle_writes_the_same_wherever_it_lies(real_data, tmp_path):
    file = real_data / "seqgan_oracle" / "target_params.npz"
    (tmp_path / "elsewhere.npz").write_bytes(file.read_bytes())
    one, other = (
        REGISTRY.make("dataset", "seqgan-oracle", {"path": str(path), "count": 50}).open()
        for path in (file.parent, tmp_path / "elsewhere.npz")
    )
    assert torch.equal(one.samples, other.samples)
    assert one.fingerprint() == other.fingerprint()
    another = REGISTRY.make("dataset", "seqgan-oracle", {"path": str(file), "count": 50, "seed": 1}).open()
    assert another.fingerprint() != one.fingerprint()


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.write_bytes(b"no archive"), "cannot read"),
        (lambda path: numpy.savez(path, a=numpy.zeros(3)), "lacks 00_emb"),
        (lambda path: path.write_bytes(b""), "cannot read"),
    ],
)
def test_an_oracle_that_is_none_is_refused(write, said, tmp_path):
    write(tmp_path / "target_params.npz")
    with pytest.raises(DataError, match=said):
        REGISTRY.make("dataset", "seqgan-oracle", {"path": str(tmp_path)}).open()


def small_oracle(path: Path) -> Path:
    words, embedding, hidden = 6, 3, 4
    shapes = {"00_emb": (words, embedding), "13_Wo": (hidden, words), "14_bo": (words,)}
    for number, gate in ((1, "i"), (4, "f"), (7, "og"), (10, "c")):
        shapes |= {
            f"{number:02}_W{gate}": (embedding, hidden),
            f"{number + 1:02}_U{gate}": (hidden, hidden),
            f"{number + 2:02}_b{gate}": (hidden,),
        }
    chance = numpy.random.default_rng(0)
    numpy.savez(path, **{name: chance.normal(size=shape) for name, shape in shapes.items()})
    return path


def test_the_likelihood_is_that_of_enumeration(tmp_path):
    """The mean over sentences of the oracle is its entropy a word, and sentences that it likes score less."""
    oracle = load_oracle(path := small_oracle(tmp_path / "small.npz"))
    every = every_sentence(6, 3)
    likely = oracle.log_likelihood(every)
    entropy = float(-(likely.sum(1).exp() * likely.sum(1)).sum()) / 3
    metric = REGISTRY.make("metric", "oracle-likelihood", {"path": str(path)})

    def measured(values: Tensor) -> Any:
        (found,) = metric.measure(Evidence(Sample("made", values.double().numpy(), values)))
        assert found.name == "nll_oracle"
        assert found.protocol["own"] == pytest.approx(entropy, abs=0.1)
        return found

    found = measured(sentences_of(oracle, 4000, 3, 5))
    assert found.interval[0] - 0.01 < entropy < found.interval[1] + 0.01
    assert measured(every).value == pytest.approx(float(-likely.mean()), abs=1e-9)
    best = every[likely.sum(1).argmax()].expand(10, 3)
    assert measured(best).value < entropy - 0.1


def test_both_likelihoods_of_a_run(tmp_path, monkeypatch):
    path = small_oracle(tmp_path / "small.npz")
    data = f"seqgan-oracle:path={path},count=64,length=5"
    settings = {"steps": 5, "batch": 8, "quiet": True, "device": "cpu"}
    run = library.train(arch=TINY, data=data, procedure=PHASES, out=tmp_path / "run", **settings)
    done = invoke("evaluate", run.path, "--metric", "oracle-likelihood", "--count", "64", "--json")
    found = {one["name"]: one["value"] for one in json.loads(done.stdout)}
    assert found["nll_oracle"] == pytest.approx(
        float(surprise(load_oracle(path), run.sample(64, seed=0)).mean()), abs=1e-9
    )
    network = run.game(None, "cpu").networks.generator
    assert 0 < found["nll_held_out"] < 3
    assert found["nll_held_out"] == pytest.approx(
        float(surprise(network, sentences_of(load_oracle(path), 2000, 5, 1)).mean()), abs=0.25
    )


def test_words_that_the_oracle_does_not_know_are_refused(tmp_path):
    path = small_oracle(tmp_path / "small.npz")
    metric = REGISTRY.make("metric", "oracle-likelihood", {"path": str(path)})
    with pytest.raises(UsageError, match="knows 0 to 5"):
        metric.measure(Evidence(Sample("made", numpy.zeros((2, 3)), torch.tensor([[0, 1, 6], [0, 0, 0]]))))
    with pytest.raises(UsageError, match=r"path=FILE\.npz"):
        REGISTRY.make("metric", "oracle-likelihood", {}).measure(Evidence(Sample("made", numpy.zeros((2, 3)))))


# BLEU


def by_definition(text: list[int], references: list[list[int]], longest: int) -> float:
    """Papineni et al. 2002 with Chen and Cherry's first smoothing, written down as it is defined."""
    logs = []
    for n in range(1, longest + 1):
        grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        shared = 0
        for gram in set(grams):
            there = max(sum(tuple(r[i : i + n]) == gram for i in range(len(r) - n + 1)) for r in references)
            shared += min(grams.count(gram), there)
        if n == 1 and not shared:
            return 0.0
        logs.append(math.log((shared if shared else 0.1) / max(1, len(grams))))
    nearest = min((len(r) for r in references), key=lambda length: (abs(length - len(text)), length))
    penalty = 1.0 if len(text) > nearest else math.exp(1 - nearest / len(text))
    return penalty * math.exp(sum(logs) / longest)


def test_bleu_is_its_definition():
    chance = numpy.random.default_rng(0)

    def texts(count: int) -> list[list[int]]:
        return [chance.integers(0, 6, chance.integers(1, 12)).tolist() for _ in range(count)]

    real, made = texts(12), [*texts(60), [9, 9, 9], []]
    found = References([tuple(one) for one in real], 5)
    for text in made:
        expected = [by_definition(text, real, n) for n in range(2, 6)] if text else [0.0] * 4
        assert found.bleu(tuple(text)) == pytest.approx(expected, abs=1e-12), text
    alone = References([tuple(one) for one in made[:60]], 5)
    for index, text in enumerate(made[:60]):
        others = made[:index] + made[index + 1 : 60]
        expected = [by_definition(text, others, n) for n in range(2, 6)]
        assert alone.bleu(tuple(text), leaving_out=index) == pytest.approx(expected, abs=1e-12), text


def test_the_example_of_the_paper():
    """Papineni et al. 2002, section 2.1.1: seven times `the` has a precision of 2/7."""
    references = References([(0, 1, 2, 3, 0, 4), (5, 2, 6, 1, 3, 0, 4)], 2)  # `the cat is on the mat`, and another
    (score,) = references.bleu((0,) * 7)
    assert score == pytest.approx(math.sqrt(2 / 7 * 0.1 / 6))


def test_bleu_of_copies_is_1_and_of_one_sentence_over_and_over_too():
    spec = Spec("tokens", (6,), encoding={"vocabulary": list("<uabcdef"), "end": 0})
    chance = numpy.random.default_rng(1)
    values = torch.from_numpy(chance.integers(1, 8, (40, 6)))
    real = Sample("real", values.double().numpy(), values)
    bleu, self_bleu = (REGISTRY.make("metric", name, {}) for name in ("bleu", "self-bleu"))
    found = {one.name: one.value for one in bleu.measure(Evidence(real, real, spec))}
    assert found == {f"bleu_{n}": pytest.approx(1) for n in range(2, 6)}
    same = values[:1].repeat(40, 1)
    collapsed = Sample("made", same.double().numpy(), same)
    measured = self_bleu.measure(Evidence(collapsed, real, spec))
    assert [one.value for one in measured] == [pytest.approx(1)] * 4
    varied = [one.value for one in self_bleu.measure(Evidence(real, real, spec))]
    assert [one.protocol["floor"] for one in measured] == pytest.approx(varied)
    assert max(varied[1:]) < 0.8


def test_what_stands_behind_the_end_does_not_count():
    spec = Spec("tokens", (4,), encoding={"vocabulary": list("<uab"), "end": 0})
    made, real = torch.tensor([[2, 3, 0, 3], [2, 3, 0, 2]]), torch.tensor([[2, 3, 0, 0], [2, 3, 0, 0]])
    sides = [Sample(name, values.double().numpy(), values) for name, values in (("made", made), ("real", real))]
    metric = REGISTRY.make("metric", "bleu", {"longest": 2})
    assert [one.value for one in metric.measure(Evidence(*sides, spec))] == [1.0]


def test_bleu_of_captions_is_printed(real_data, tmp_path):
    """Real captions against others are the floor that a run is read beside."""
    folder = real_data / "image_coco_text"
    lines = (folder / "image_coco.txt").read_text().splitlines()[:600]
    path = written(tmp_path, "\n".join(lines) + "\n")
    data = f"tokens:path={path},test={folder / 'test_coco.txt'},length=20"
    options = ("--arch", TINY, "--procedure", PHASES, "--batch", "8", "--steps", "5", "--device", "cpu")
    invoke("train", *options, "--data", data, "--out", tmp_path / "run")
    done = invoke("evaluate", tmp_path / "run", "--metric", "bleu", "--metric", "self-bleu", "--count", "100")
    printed = {line.split()[0]: line for line in done.stdout.splitlines() if "bleu_" in line}
    assert set(printed) == {f"{name}_{n}" for name in ("bleu", "self_bleu") for n in range(2, 6)}
    value, floor = (
        float(printed["bleu_2"].partition(mark)[2].split()[0].rstrip(";)")) for mark in ("bleu_2 ", "floor ")
    )
    assert 0 <= value < floor < 1
