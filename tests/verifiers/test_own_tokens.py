"""Problems and steps in a verifier's own vocabulary: as its authors tokenise them, and safe from what texts say."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_prms import SPECIAL, byte_tokenizer, make, space_tokenizer

from edgesearch.errors import ModelNotFound, UsageError
from edgesearch.types import Beam, Prompt, Step
from edgesearch.verifiers.export.layouts import choose_format, lay_out, score_tokens
from edgesearch.verifiers.export.source import Source, open_source
from edgesearch.verifiers.onnx_graph import SAME
from edgesearch.verifiers.own_tokens import OwnTokens, TokenLayout
from edgesearch.verifiers.plain_tokenizer import PlainTokenizer
from edgesearch.verifiers.prm_format import PRESETS, PrmFormat
from edgesearch.verifiers.prm_turns import own_text

PROBLEM = "Ana has 22 apples. How many?"
STEPS = ("22-17=5", "The answer is 5")
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Source]:
    """The files of a tiny model that fits a format."""

    @cache
    def source(format_name: str) -> Source:
        folder = tmp_path_factory.mktemp(format_name)
        if format_name == "math-shepherd":
            make(folder, "mistral", "good-bad", tokenizer=space_tokenizer(), bos="<s>")
        else:
            make(folder, "llama", "good-bad" if format_name == "rlhflow" else "value")
        return open_source(str(folder))

    return source


def own(source: Source, chosen: PrmFormat) -> OwnTokens:
    return OwnTokens(lay_out(source, chosen), source.tokenizer, "tiny")


def beam(*texts: str, problem: str = PROBLEM) -> Beam:
    return Beam(Prompt(problem), tuple(Step(f"{text}\n\n", (), 0.0, "step") for text in texts))


def all_ids(tokens: OwnTokens, solution: Beam) -> list[int]:
    """The whole sequence, with 0 after each token where a score is read."""
    ids = list(tokens.prompt(solution.prompt, ()))
    for index in range(len(solution.steps)):
        step, at = tokens.step(solution, index)
        assert at == len(step) - 1
        ids += [*step, 0]
    return ids


@pytest.mark.parametrize(
    ("name", "parts", "is_chat"),
    [
        # Qwen/Qwen2.5-Math-PRM-7B, model card: the chat template, steps joined by <extra_0>, one more at the end.
        (
            "qwen-prm",
            [
                f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{PROBLEM}<|im_end|>\n"
                f"<|im_start|>assistant\n{STEPS[0]}<extra_0>",
                f"{STEPS[1]}<extra_0>",
            ],
            True,
        ),
        # RLHFlow/RLHF-Reward-Modeling, math-rm/prm_evaluate.py: a step a turn, answered "+"; read before the answer.
        (
            "rlhflow",
            [
                f"<|begin|><|start_header_id|>user<|end_header_id|>\n\n{PROBLEM} {STEPS[0]}<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n",
                f"+<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{STEPS[1]}<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n",
            ],
            True,
        ),
        # peiyi9979/math-shepherd-mistral-7b-prm, model card: f"{question} {output}", steps end in " ки" and a newline.
        ("math-shepherd", [f"{PROBLEM} {STEPS[0]} ки", f"\n{STEPS[1]} ки"], False),
    ],
)
def test_a_solution_has_the_tokens_that_the_model_s_authors_give_it(
    sources: Callable[[str], Source], name: str, parts: list[str], is_chat: bool
) -> None:
    from tokenizers import Tokenizer

    source = sources(name)
    usual = Tokenizer.from_str(source.tokenizer_json.decode())
    ends = [len(usual.encode("".join(parts[: i + 1]), add_special_tokens=not is_chat).ids) for i in range(len(parts))]
    expected = usual.encode("".join(parts), add_special_tokens=not is_chat).ids
    for count, end in enumerate(ends):
        expected.insert(end + count, 0)
    assert all_ids(own(source, PRESETS[name]), beam(*STEPS)) == expected


def test_skywork_puts_its_newline_token_after_each_step(sources: Callable[[str], Source]) -> None:
    """SkyworkAI/skywork-o1-prm-inference, model_utils/io_utils.py."""
    source = sources("skywork")
    ids, (newline,) = source.tokenizer.ids, source.tokenizer.ids("\n")
    expected = [source.tokenizer.added["<|begin|>"], *ids(f"{PROBLEM}\n")]
    for step in STEPS:
        expected += [*ids(step), newline, 0]
    assert all_ids(own(source, PRESETS["skywork"]), beam(*STEPS)) == expected


def test_a_step_without_a_separator_is_read_at_its_last_token(sources: Callable[[str], Source]) -> None:
    source = sources("plain")
    ids = source.tokenizer.ids
    expected = [*ids(f"{PROBLEM}\n\n"), *ids(STEPS[0]), 0, *ids(f"\n\n{STEPS[1]}"), 0]
    assert all_ids(own(source, PRESETS["plain"]), beam(*STEPS)) == expected
    assert own(source, PRESETS["plain"]).step(beam(""), 0)[0] == ids("\n\n")


@pytest.mark.parametrize("name", PRESETS)
def test_the_score_tokens_are_single_tokens_of_the_vocabulary(sources: Callable[[str], Source], name: str) -> None:
    if not PRESETS[name].needs_head:
        source = sources(name)
        good, bad = score_tokens(source, PRESETS[name])
        assert (source.tokenizer.text(good), source.tokenizer.text(bad)) == ("+", "-")


MARKUP = [*SPECIAL, " ки", "ки", "к", "и", "+", "-", "\n", "\n\n", " ", "<s>", "</s>", "assistant", "5"]


@settings(deadline=None)
@given(
    problem=st.lists(st.sampled_from(MARKUP), max_size=8).map("".join),
    text=st.lists(st.sampled_from(MARKUP), max_size=8).map("".join),
    name=st.sampled_from(sorted(PRESETS)),
)
def test_texts_that_spell_separators_and_turns_forge_nothing(
    sources: Callable[[str], Source], problem: str, text: str, name: str
) -> None:
    source = sources(name)
    tokens = own(source, PRESETS[name])
    plain = beam("5", "5", problem="5")
    forged = beam(f"5{text}5", f"5{text}", problem=f"5{problem}5")
    layout = lay_out(source, PRESETS[name])
    kept_out = {token for token in layout.token_ids if len(source.tokenizer.text(token)) != 1}
    assert kept_out or name == "plain"
    for token in kept_out:
        assert all_ids(tokens, forged).count(token) == all_ids(tokens, plain).count(token)


def test_a_separator_in_a_text_is_cut_and_no_letter_is_lost(sources: Callable[[str], Source]) -> None:
    source = sources("math-shepherd")
    (separator,) = source.tokenizer.ids(" ки")
    ids = all_ids(own(source, PRESETS["math-shepherd"]), beam("a ки b", problem="ки ки"))
    assert ids.count(separator) == 1
    plain = [token for token in ids if token not in (0, separator)]
    assert source.tokenizer._tokenizer.decode(plain) == "<s> ки ки a ки b"


def test_a_separator_that_only_the_tokeniser_recognises_is_spelled_letter_by_letter() -> None:
    table = json.loads(space_tokenizer())
    table["normalizer"]["normalizers"].append({"type": "Lowercase"})
    tokenizer = PlainTokenizer(json.dumps(table).encode())
    (separator,) = tokenizer.ids(" КИ")
    layout = TokenLayout(("{problem}",), ("{step}", separator), ("{step}", separator))
    ids, at = OwnTokens(layout, tokenizer, "tiny").step(beam("a КИ b"), 0)
    assert (ids.count(separator), ids[at]) == (1, separator)


def test_an_empty_step_has_the_score_of_the_one_before_and_puts_in_nothing(sources: Callable[[str], Source]) -> None:
    tokens = own(sources("qwen-prm"), PRESETS["qwen-prm"])
    assert tokens.step(beam("5", ""), 1) == ((), SAME)
    assert tokens.step(beam("5", " \n "), 1) == ((), SAME)
    first, at = tokens.step(beam(""), 0)
    assert at == len(first) - 1


@pytest.mark.parametrize(
    ("text", "delimiter", "own"),
    [
        ("5 apples\n\n", "\n\n", "5 apples"),
        ("5 apples###", "###", "5 apples"),
        ("5 apples ###\n", "###\n", "5 apples"),
        ("\n\n", "\n\n", ""),
        ("  5", "\n\n", "5"),
    ],
)
def test_a_delimiter_is_not_part_of_a_step(text: str, delimiter: str, own: str) -> None:
    assert own_text(Step(text, (), 0.0, "step"), delimiter) == own


# -- layouts -----------------------------------------------------------------------------------------------------------


def test_a_layout_comes_back_from_its_json() -> None:
    layout = TokenLayout((1, "a {problem}\n"), ("{step}", 2), (3, "{step}", 2), "\n")
    assert TokenLayout.from_json(layout.to_json()) == layout
    assert layout.token_ids == {1, 2, 3}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prompt": ["no place"]}, "prompt must hold {problem} exactly once"),
        ({"next": ["{step}", "{step}"]}, "next must hold {step} exactly once"),
        ({"first": ["{step}", -1]}, "first must hold token ids >= 0"),
        ({"first": ["{step}", True]}, "first must be a list of token ids and texts"),
        ({"first": "{step}"}, "first must be a list"),
        ({"flattened": "x"}, "flattened must be white space"),
        ({"flattened": None}, "flattened must be a text"),
        ({"more": 1}, "it must have prompt, first, next and flattened"),
    ],
)
def test_a_layout_that_makes_no_sense_is_a_value_error(changes: dict[str, object], reason: str) -> None:
    table = {"prompt": ["{problem}"], "first": ["{step}"], "next": ["{step}"], "flattened": ""} | changes
    with pytest.raises(ValueError, match=reason.replace("{", r"\{")):
        TokenLayout.from_json(json.dumps(table))


def test_a_text_that_the_vocabulary_lacks_is_wrong_usage() -> None:
    model = {"type": "BPE", "vocab": {"<unk>": 0, "a": 1}, "merges": [], "unk_token": "<unk>"}
    tokenizer = PlainTokenizer(json.dumps({"version": "1.0", "model": model}).encode())
    tokens = OwnTokens(TokenLayout(("{problem}",), ("{step}",), ("{step}",)), tokenizer, "tiny")
    assert tokens.prompt(Prompt("aa"), ()) == [1, 1]
    with pytest.raises(UsageError, match="vocabulary of verifier tiny has nothing for 'é'; use another verifier"):
        tokens.prompt(Prompt("aé"), ())


# -- formats in a vocabulary -------------------------------------------------------------------------------------------


def refused(source: Source, chosen: PrmFormat) -> str:
    with pytest.raises(UsageError) as caught:
        lay_out(source, chosen)
    return str(caught.value)


def test_a_separator_that_the_vocabulary_lacks_is_refused(sources: Callable[[str], Source]) -> None:
    message = refused(sources("skywork"), PRESETS["math-shepherd"])
    assert "has no token for the separator ' ки', so its format is another one; choose it with --format" in message
    assert "has no token for the separator '<extra_0>'" in refused(
        sources("math-shepherd"), PrmFormat(separator="<extra_0>")
    )


def test_score_tokens_that_the_vocabulary_lacks_are_refused(sources: Callable[[str], Source]) -> None:
    chosen = PrmFormat("turns", good="right", bad="wrong")
    with pytest.raises(UsageError, match="has no token 'right'"):
        score_tokens(sources("rlhflow"), chosen)


def test_a_chat_format_needs_a_chat_template_that_writes_turns_alike(tmp_path: Path) -> None:
    for number, (template, reason) in enumerate(
        [
            (None, "has no chat template, which layout turns needs"),
            ("{% for m in messages %}{{ m['content'] }} {% endfor %}", "does not write each turn alike"),
            (
                "{{ messages[0]['content'] }}<|eot_id|>{% for m in messages[1:] %}{{ m['content'] }}{% endfor %}",
                "alike",
            ),
        ]
    ):
        folder = tmp_path / str(number)
        make(folder, "llama", "good-bad", template=template)
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        if template is None:
            del settings["chat_template"]
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        assert reason in refused(open_source(str(folder)), PRESETS["rlhflow"])


def test_a_chat_template_may_be_one_of_several_or_a_file(tmp_path: Path) -> None:
    make(tmp_path / "prm", "llama", "good-bad")
    expected = lay_out(open_source(str(tmp_path / "prm")), PRESETS["rlhflow"])
    path = tmp_path / "prm" / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    template = settings["chat_template"]
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}]
    path.write_text(json.dumps({**settings, "chat_template": several}))
    assert lay_out(open_source(str(tmp_path / "prm")), PRESETS["rlhflow"]) == expected
    path.write_text(json.dumps({**settings, "chat_template": "x"}))
    (tmp_path / "prm" / "chat_template.jinja").write_text(template)
    assert lay_out(open_source(str(tmp_path / "prm")), PRESETS["rlhflow"]) == expected


def test_the_format_is_told_by_the_model_where_that_leaves_no_doubt(tmp_path: Path) -> None:
    for head, name in (("value", "skywork"), ("two-class", "qwen-prm")):
        make(tmp_path / head, "qwen2", head)
        assert choose_format(open_source(str(tmp_path / head)), head, None) == (name, PRESETS[name])  # type: ignore[arg-type]
    make(tmp_path / "plain", "qwen2", "two-class", tokenizer=byte_tokenizer(("<|begin|>",)))
    with pytest.raises(UsageError, match="a two-class head, but nothing says how it reads"):
        choose_format(open_source(str(tmp_path / "plain")), "two-class", None)


def test_a_format_may_be_a_file(tmp_path: Path) -> None:
    make(tmp_path / "prm", "qwen2", "two-class")
    source, path = open_source(str(tmp_path / "prm")), tmp_path / "mine.toml"
    path.write_text('preset = "qwen-prm"\nsystem = ""\naggregator = "min"\n')
    name, chosen = choose_format(source, "two-class", str(path))
    assert (name, chosen.system, chosen.aggregator) == ("mine.toml", "", "min")
    for content, error in (("preset = 5", "preset must be a text"), ("preset", "is not a TOML file")):
        path.write_text(content)
        with pytest.raises(UsageError, match=error):
            choose_format(source, "two-class", str(path))
    with pytest.raises(ModelNotFound, match=r"absent\.toml cannot be read"):
        choose_format(source, "two-class", str(tmp_path / "absent.toml"))
    with pytest.raises(UsageError, match="unknown format 'qwen'"):
        choose_format(source, "two-class", "qwen")
