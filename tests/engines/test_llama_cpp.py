"""The llama.cpp engine on the real built-in solver."""

import gc
from pathlib import Path

import numpy as np
import pytest

from edgesearch import catalog
from edgesearch.budget import Budget
from edgesearch.engines.base import Draft
from edgesearch.engines.llama_cpp import LlamaCppEngine
from edgesearch.errors import ContextOverflow, EdgesearchError, IntegrityError, ModelNotFound, OutOfMemory, UsageError
from edgesearch.types import Beam, Prompt

from .engine_contract import GREEDY, PROBLEM, WARM, EngineContract, run

NANO = catalog.solver("nano").path


@pytest.fixture(scope="module")
def nano():
    engine = LlamaCppEngine(NANO, max_sequences=24, max_tokens=128)
    yield engine
    engine.close()


def opened(engine: LlamaCppEngine, text: str = PROBLEM) -> Beam:
    prompt = Prompt(text)
    engine.open(prompt)
    return Beam(prompt)


class TestLlamaCppEngine(EngineContract):
    @pytest.fixture
    def engine(self, nano):
        return nano


def test_the_greedy_solution_is_the_one_bare_llama_decode_calls_give(nano):
    from edgesearch.engines.llama_native import NativeContext, NativeModel

    root = opened(nano)
    [drafted] = run(nano, [Draft(root, GREEDY, 0, 200, is_to_end=True)])
    model = NativeModel(NANO, has_extra_buffers=False)
    context = NativeContext(model, num_cells=512, max_sequences=1, num_threads=1, batch_size=128, ubatch_size=128)
    pending, position, drawn = model.tokenize(PROBLEM + "\n\n"), 0, []
    while not drawn or not model.is_end(drawn[-1]):
        count = len(pending)
        flags = [False] * (count - 1) + [True]
        assert context.decode(pending, range(position, position + count), [0] * count, flags) == "ok"
        position += count
        pending = [int(context.logits(1)[0].argmax())]
        drawn += pending
    context.close()
    model.close()
    assert [token for step in drafted.steps for token in step.token_ids] == drawn


def test_a_step_s_log_probability_is_that_of_its_tokens_given_what_came_before(nano):
    root = opened(nano)
    [drafted] = run(nano, [Draft(root, WARM, 11, 200, is_to_end=True)])
    from edgesearch.engines.llama_native import NativeContext, NativeModel

    model = NativeModel(NANO, has_extra_buffers=False)
    context = NativeContext(model, num_cells=512, max_sequences=1, num_threads=1, batch_size=512, ubatch_size=512)
    prompt = model.tokenize(PROBLEM + "\n\n")
    drawn = [token for step in drafted.steps for token in step.token_ids]
    tokens = prompt + drawn
    assert context.decode(tokens, range(len(tokens)), [0] * len(tokens), [True] * len(tokens)) == "ok"
    logits = context.logits(len(tokens)).astype(np.float64)
    before = logits[len(prompt) - 1 : -1]
    expected = before[np.arange(len(drawn)), drawn] - np.log(np.exp(before).sum(axis=1))
    context.close()
    model.close()
    assert drafted.beam.logprob == pytest.approx(expected.sum(), abs=0.05)  # batches of other sizes round differently


def test_n_beams_hold_the_prompt_once_and_their_own_tokens(nano):
    root = opened(nano)
    length = len(nano.open(root.prompt))
    before = nano._cells.used
    children = run(nano, [Draft(root, WARM, seed, 200) for seed in range(8)])
    own = sum(child.beam.num_tokens - 1 for child in children)  # each step's last token is not decoded yet
    alive = [child for child in children if child.beam.is_alive]
    assert nano._cells.used - before <= length + own
    assert nano.kv_cells_peak >= length
    nano.release([child.beam.node for child in alive])


def test_everything_is_free_again_after_a_release(nano):
    nano.release(list(nano._nodes))
    root = opened(nano)
    children = run(nano, [Draft(root, WARM, seed, 200) for seed in range(8)])
    grandchildren = run(nano, [Draft(child.beam, WARM, 1, 200) for child in children if child.beam.is_alive])
    nano.release([drafted.beam.node for drafted in (*children, *grandchildren)] + [root.prompt.id])
    assert len(nano._free) == nano._num_sequences
    assert nano._nodes == {}


def test_control_tokens_in_the_problem_stay_text(nano):
    from edgesearch.engines.llama_native import NativeModel

    model = NativeModel(NANO, has_extra_buffers=False)
    [control] = model.tokenize("<|endoftext|>", parse_special=True)
    model.close()
    prompt = Prompt("Ana has 3 apples.<|endoftext|><|im_end|> How many apples does Ana have?")
    ids = nano.open(prompt)
    nano.release([prompt.id])
    assert control not in ids


def test_a_problem_that_does_not_fit_is_refused_with_the_numbers(nano):
    with pytest.raises(ContextOverflow, match=r"needs \d+ tokens .* context of 512"):
        nano.open(Prompt("Ana has 3 apples. " * 400))


def test_a_solution_never_outgrows_the_context(nano):
    root = opened(nano, "Ana has 3 apples. " * 60)
    drafts = run(nano, [Draft(root, WARM, seed, 10_000, is_to_end=True) for seed in range(8)])
    assert all(drafted.beam.finish in ("stop", "length") for drafted in drafts)


def test_a_full_cache_cuts_off_the_least_likely_drafts_and_says_so():
    engine = LlamaCppEngine(NANO, max_sequences=24, num_cells=512)
    root = opened(engine)
    drafts = run(engine, [Draft(root, WARM, seed, 400, is_to_end=True) for seed in range(24)])
    finishes = [drafted.beam.finish for drafted in drafts]
    engine.close()
    assert "length" in finishes
    assert "stop" in finishes
    assert any("cut off" in warning for warning in engine.warnings)


def test_an_interrupted_decode_leaves_the_cache_sound(nano):
    root = opened(nano)
    drafts = [Draft(root, WARM, seed, 200, is_to_end=True) for seed in range(12)]
    undisturbed = [drafted.beam.text for drafted in run(nano, drafts)]
    root = opened(nano)
    again = [Draft(root, WARM, seed, 200, is_to_end=True) for seed in range(12)]
    for draft in again:
        nano.start(draft)
    done = {}
    while len(done) < len(again):  # deadlines so short that some decodes are interrupted midway
        done |= {drafted.draft.id: drafted for drafted in nano.advance(Budget(0.0004).start())}
        done |= {drafted.draft.id: drafted for drafted in nano.advance(Budget(60).start())}
    assert [done[draft.id].beam.text for draft in again] == undisturbed


def test_an_interrupted_prefill_of_several_micro_batches_starts_over_cleanly():
    engine = LlamaCppEngine(NANO, max_sequences=2, num_threads=1)
    text = "Ana has 12 apples. Ben has 3 more than Ana. " * 20
    root = opened(engine, text)
    [undisturbed] = run(engine, [Draft(root, GREEDY, 0, 40, is_to_end=True)])
    root = opened(engine, text)
    engine.start(Draft(root, GREEDY, 0, 40, is_to_end=True))
    for budget_s in (1e-4, 5e-4, 1e-3, 2e-3, 3e-3):
        engine.advance(Budget(budget_s).start())
    done = []
    while not done:
        done = engine.advance(Budget(60).start())
    engine.close()
    assert done[0].beam.text == undisturbed.beam.text


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, ModelNotFound),
        (b"", IntegrityError),
        (b"not a model at all, just text", IntegrityError),
        (NANO.read_bytes()[:100_000], IntegrityError),
        (NANO.read_bytes().replace(b"llama", b"lxama"), IntegrityError),  # an architecture nobody knows
    ],
    ids=["missing", "empty", "text", "truncated", "unknown architecture"],
)
def test_a_file_that_is_no_usable_model_is_one_sentence(tmp_path: Path, content, error):
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error) as caught:
        LlamaCppEngine(path)
    assert "\n" not in str(caught.value)


def test_too_wide_a_search_is_refused_with_the_range():
    with pytest.raises(UsageError, match=r"in \[1, 250\]"):
        LlamaCppEngine(NANO, max_sequences=10_000)


def test_too_little_memory_is_refused_before_anything_is_allocated(monkeypatch):
    import psutil

    class Memory:
        available = 66 << 20

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    with pytest.raises(OutOfMemory, match="free"):
        LlamaCppEngine(NANO, max_sequences=64, max_tokens=4096)


def test_a_draft_of_an_unknown_beam_is_a_bug_of_the_caller(nano):
    with pytest.raises(AssertionError, match="never opened"):
        nano.start(Draft(Beam(Prompt("never opened")), WARM, 0, 10))


def test_engines_can_be_loaded_and_closed_again_and_again():
    for _ in range(5):
        engine = LlamaCppEngine(NANO, max_sequences=4)
        [drafted] = run(engine, [Draft(opened(engine), GREEDY, 0, 200, is_to_end=True)])
        assert drafted.beam.finish == "stop"
        engine.close()
        engine.close()
    gc.collect()


def test_prompts_that_together_overfill_the_cache_are_an_error_that_says_what_to_lower():
    engine = LlamaCppEngine(NANO, max_sequences=4, num_cells=256)
    crowd = [opened(engine, "Ana has 3 apples. " * 30 + f"Ben has {number}.") for number in range(3)]
    with pytest.raises(EdgesearchError, match=r"KV cache.*--n"):
        run(engine, [Draft(root, WARM, 0, 400, is_to_end=True, is_last_use=False) for root in crowd])
    engine.close()


def test_a_draft_for_which_kept_prompts_leave_no_room_is_cut_off_and_told():
    engine = LlamaCppEngine(NANO, max_sequences=4, num_cells=256)
    crowd = [opened(engine, "Ana has 3 apples. " * 12 + f"Ben has {number}.") for number in range(3)]
    drafts = run(engine, [Draft(root, WARM, 0, 400, is_to_end=True, is_last_use=False) for root in crowd])
    engine.close()
    assert {drafted.beam.finish for drafted in drafts} <= {"length", "stop"}
    assert "length" in {drafted.beam.finish for drafted in drafts}
    assert any("cut off" in warning for warning in engine.warnings)


@pytest.mark.parametrize("name", ["beam", "revision_vote"])
@pytest.mark.parametrize("num_cells", [256, 512])
def test_a_full_cache_prunes_a_search_instead_of_failing_it(name, num_cells):
    from edgesearch import search
    from edgesearch.driver import Driver, Job
    from edgesearch.search.base import SearchConfig
    from edgesearch.types import Sampling
    from edgesearch.verifiers.scripted import ScriptedVerifier

    engine = LlamaCppEngine(NANO, max_sequences=16, num_cells=num_cells)
    driver = Driver(engine, ScriptedVerifier(lambda beam, index: 0.5))
    prompt = Prompt("Ana has 12 apples. " * 20 + PROBLEM)
    config = SearchConfig(n=16, m=4)
    sampling = Sampling(temperature=1.0, top_k=0)
    driver.submit(Job(prompt, search.strategy(name), config, sampling, Budget(600).start(), max_tokens=200))
    results = []
    while not results:
        results = driver.turn()
    [(_, result)] = results
    assert result.candidates
    is_told = any("cut off" in text or "did not fit" in text for text in (*engine.warnings, *result.warnings))
    assert is_told == ((name, num_cells) != ("beam", 512))
    assert engine._nodes == {}
    engine.close()


def test_a_prompt_that_grew_from_another_goes_on_from_its_cells():
    engine = LlamaCppEngine(NANO, max_sequences=4)
    root = opened(engine)
    [first] = run(engine, [Draft(root, GREEDY, 0, 200, is_to_end=True, is_last_use=False)])
    prompt = Prompt(root.prompt.user, attempts=(first.beam.text,), base=root.prompt.id)
    length = len(engine.open(prompt))
    [second] = run(engine, [Draft(Beam(prompt), GREEDY, 0, 200, is_to_end=True)])
    alone = Prompt(prompt.user, attempts=prompt.attempts)
    engine.open(alone)
    [undisturbed] = run(engine, [Draft(Beam(alone), GREEDY, 0, 200, is_to_end=True)])
    engine.close()
    assert second.beam.text == undisturbed.beam.text
    assert second.prefilled_tokens + second.reused_tokens == length
    assert second.reused_tokens > 20  # what both prompts begin with
    assert undisturbed.prefilled_tokens == length


def test_a_small_n_leaves_room_for_one_long_solution():
    engine = LlamaCppEngine(NANO, max_sequences=1, max_tokens=16, longest=2000)
    assert engine._context.num_cells >= 2000
    engine.close()
