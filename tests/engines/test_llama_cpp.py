"""The llama.cpp engine on the real built-in solver."""

import gc
import time
from pathlib import Path

import numpy as np
import pytest

from edgesearch import catalog
from edgesearch.budget import Budget
from edgesearch.engines.base import Draft, Drafted
from edgesearch.engines.llama_cpp import LlamaCppEngine
from edgesearch.errors import ContextOverflow, EdgesearchError, IntegrityError, ModelNotFound, OutOfMemory, UsageError
from edgesearch.types import Beam, Prompt

from .engine_contract import CLOSING, GREEDY, PROBLEM, WARM, InProcessContract, run, token_ids

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


class TestLlamaCppEngine(InProcessContract):
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


class Interruption:
    """Ends a decode after so many of llama.cpp's polls, which it makes at each node of each micro-batch's graph."""

    def __init__(self, engine: LlamaCppEngine) -> None:
        self.engine, self.num_polls, self.at = engine, 0, -1
        self._lib, self._context = engine._model.lib, engine._context._context
        self._callback = self._lib.llama_cpp.ggml_abort_callback(self.poll)

    def __enter__(self) -> "Interruption":
        self._lib.llama_set_abort_callback(self._context, self._callback, None)
        return self

    def __exit__(self, *_error: object) -> None:
        abort = self.engine._context.abort
        self._lib.llama_set_abort_callback(self._context, abort.callback, abort.data)

    def poll(self, _data: object) -> bool:
        self.num_polls += 1
        return self.num_polls > self.at >= 0

    def advance(self, share: float | None = None, num_polls: int = 0) -> list[Drafted]:
        """A pass; one that is ended after that share of its polls, which then must leave all as it was."""
        self.num_polls, self.at = 0, -1 if share is None else int(share * (num_polls - 1))
        if share is None:
            return self.engine.advance(Budget(600).start())
        before = held(self.engine)
        assert self.engine.advance(Budget(600).start()) == []
        assert self.num_polls > self.at  # it was interrupted
        assert held(self.engine)[: len(before)] == before  # beside forks made before the decode
        return []


def held(engine: LlamaCppEngine) -> list[tuple[int, int]]:
    """What the cache holds of each sequence, which must be what the engine believes."""
    believed = [(run.sequence, run.position) for run in engine._running]
    believed += [(node.sequence, node.length) for node in engine._nodes.values()]
    assert [(sequence, engine._context.length(sequence)) for sequence, _ in believed] == believed
    return believed[: len(engine._running)]


def assert_alike(some: list[Drafted], others: list[Drafted]) -> None:
    """The same tokens, drawn from the same logits: the sums in attention may have another order, no more."""
    for one, other in zip(some, others, strict=True):
        assert (one.beam.finish, token_ids(one)) == (other.beam.finish, token_ids(other))
        assert [step.logprob for step in one.steps] == pytest.approx([step.logprob for step in other.steps], abs=1e-4)


@pytest.mark.parametrize("num_drafts", [1, 7])
def test_a_decode_interrupted_at_any_point_leaves_the_cache_sound(nano, num_drafts):
    def story(is_interrupted):
        root = opened(nano)
        drafts = [Draft(root, WARM, seed, 200, is_to_end=True) for seed in range(num_drafts)]
        for draft in drafts:
            nano.start(draft)
        done: dict[int, Drafted] = {}
        number = num_polls = 0
        while len(done) < num_drafts:
            if is_interrupted and number:
                interruption.advance((number * 0.37) % 1, num_polls)
            finished = interruption.advance()
            num_polls = interruption.num_polls or num_polls  # those of a pass like the next one
            done |= {drafted.draft.id: drafted for drafted in finished}
            number += 1
        return [done[draft.id] for draft in drafts]

    with Interruption(nano) as interruption:
        assert_alike(story(True), story(False))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.45, 0.7, 0.999])
def test_forks_and_hurries_around_an_interrupted_prefill_of_several_micro_batches_come_out_the_same(share):
    engine = LlamaCppEngine(NANO, max_sequences=8, max_tokens=256, num_threads=1)

    def story(polls, is_interrupted):
        """Three children of one step, forked with the pass that reads a long prompt of another problem."""
        root, other = opened(engine), opened(engine, "Ana has 12 apples. Ben has 3 more than Ana. " * 22)
        [parent] = run(engine, [Draft(root, WARM, 1, 200)])
        engine.open(other.prompt)
        children = [Draft(parent.beam, WARM, seed, 200, is_to_end=seed > 1) for seed in range(3)]
        last = Draft(other, WARM, 5, 40, is_to_end=True)
        for draft in children:
            engine.start(draft)
        done = {drafted.draft.id: drafted for drafted in interruption.advance()}  # forks, and their first tokens
        engine.start(last)
        number = 0
        while len(done) < 4:
            if is_interrupted and number < 3:
                interruption.advance(share, polls[number])
            if number < 3:
                engine.hurry([children[number].id], CLOSING, 12)
            done |= {drafted.draft.id: drafted for drafted in interruption.advance()}
            polls.append(interruption.num_polls)
            number += 1
        engine.release([drafted.beam.node for drafted in done.values()])
        assert engine._cells.used == 0
        assert len(engine._free) == engine._num_sequences
        return [done[draft.id] for draft in (*children, last)]

    with Interruption(engine) as interruption:
        polls: list[int] = []
        undisturbed = story(polls, False)
        assert polls[0] > 2 * polls[3]  # the first of these passes has several micro-batches
        assert_alike(story(polls, True), undisturbed)
    engine.close()


def test_a_clock_that_jumps_within_a_pass_interrupts_it_and_nothing_else(nano):
    root = opened(nano)
    [undisturbed] = run(nano, [Draft(root, WARM, 3, 200, is_to_end=True, is_last_use=False)])

    class Asleep(Interruption):
        """The machine sleeps for an hour in the middle of a pass."""

        slept_s = 0.0

        def poll(self, _data: object) -> bool:
            self.num_polls += 1
            abort = self.engine._context.abort
            if self.num_polls == 20:
                self.slept_s += 3600
                for _ in range(500):  # the pass is over too soon for its timer to see it
                    if abort._flag[0] != b"\0":
                        break
                    time.sleep(0.01)
            return bool(abort._flag[0] != b"\0")

    draft = Draft(root, WARM, 3, 200, is_to_end=True)
    nano.start(draft)
    with Asleep(nano) as asleep:
        deadline = Budget(600).start(lambda: time.monotonic() + asleep.slept_s)
        for _ in range(4):
            asleep.num_polls = 20  # awake
            assert nano.advance(deadline) == []
        before = held(nano)
        asleep.num_polls = 0
        assert nano.advance(deadline) == []
        assert asleep.slept_s == 3600
        assert deadline.expired()
        assert nano.advance(deadline) == []  # and once it is over, no pass has an effect
        assert held(nano) == before
        done: list[Drafted] = []
        while not done:
            asleep.num_polls = 20
            done = nano.advance(Budget(600).start())
    assert token_ids(done[0]) == token_ids(undisturbed)


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


def test_a_closing_that_is_written_costs_no_likelihood_and_is_told_with_the_rest(nano):
    root = opened(nano)
    draft = Draft(root, WARM, 3, 200, has_certainty=True)
    nano.start(draft)
    for _ in range(4):
        assert nano.advance(Budget(60).start()) == []
    nano.hurry([draft.id], CLOSING, 20)
    done: list[Drafted] = []
    while not done:
        done = nano.advance(Budget(60).start())
    first, last = done[0].steps
    num_written = len(nano._model.tokenize(CLOSING))  # its delimiter ends the step before
    assert first.certainty.logprobs[-1] == 0.0
    assert last.certainty.logprobs[: num_written - 1] == (0.0,) * (num_written - 1)
    assert any(logprob < 0 for logprob in last.certainty.logprobs[num_written - 1 :])
    assert len(last.certainty.entropies) == len(last.token_ids)


@pytest.mark.parametrize("num_drafts", [1, 3, 8])
def test_a_written_closing_is_read_in_as_few_passes_as_the_batch_allows_and_changes_no_token(
    nano, monkeypatch, num_drafts
):
    def story() -> tuple[list[Drafted], int]:
        root = opened(nano)
        drafts = [Draft(root, WARM, seed, 200, is_to_end=True) for seed in range(num_drafts)]
        for draft in drafts:
            nano.start(draft)
        for _ in range(4):
            assert nano.advance(Budget(60).start()) == []
        nano.hurry([draft.id for draft in drafts], CLOSING, 20)
        done: dict[int, Drafted] = {}
        passes = 0
        while len(done) < num_drafts:
            done |= {drafted.draft.id: drafted for drafted in nano.advance(Budget(60).start())}
            passes += 1
        return [done[draft.id] for draft in drafts], passes

    at_once, few = story()
    monkeypatch.setattr(nano, "_most_unread", 1)
    one_by_one, many = story()
    assert_alike(at_once, one_by_one)
    num_written = len(nano._model.tokenize(CLOSING))
    assert many - few == num_written  # read with the token that was drawn before it


def test_closings_of_more_drafts_than_one_batch_holds_are_read_in_several_passes():
    engine = LlamaCppEngine(NANO, max_sequences=100)
    root = opened(engine)
    assert len(engine._model.tokenize(CLOSING)) > engine._most_unread > 1
    drafts = [Draft(root, WARM, seed, 60, is_to_end=True) for seed in range(100)]
    for draft in drafts:
        engine.start(draft)
    engine.advance(Budget(60).start())
    engine.hurry([draft.id for draft in drafts], CLOSING, 20)
    done: list[Drafted] = []
    while len(done) < len(drafts):
        done += engine.advance(Budget(60).start())
    assert all(CLOSING.strip() in drafted.beam.text for drafted in done)
    engine.close()


@pytest.mark.parametrize("is_late", [False, True], ids=["before its answer", "after its answer"])
def test_a_solver_that_goes_on_after_its_answer_is_cut_off_one_token_later(nano, monkeypatch, is_late):
    words = nano._model.tokenize(r"The answer is \boxed{\frac{1}{2}}")
    more = nano._model.tokenize(" and more and more")
    start = 0 if is_late else len(words) - len(nano._model.tokenize(r"\frac{1}{2}}"))
    script = iter([*words[start:], *more] if is_late else [words[0], *words[start:], *more])

    def drawn(runs, rows):
        return [0 if run.written else next(script) for run in runs], [0.0] * len(runs)

    monkeypatch.setattr(nano, "_draw", drawn)
    draft = Draft(opened(nano), WARM, 0, 200)
    nano.start(draft)
    for _ in range(len(words) if is_late else 1):
        assert nano.advance(Budget(60).start()) == []
    nano.hurry([draft.id], CLOSING, 100)
    done: list[Drafted] = []
    while not done:
        done = nano.advance(Budget(60).start())
    assert token_ids(done[0]) == [*words, more[0]]
    assert done[0].beam.finish == "length"  # the solver did not end its turn


def test_hurried_drafts_leave_no_cell_and_no_sequence_behind(nano):
    nano.clear()
    root = opened(nano)
    [parent] = run(nano, [Draft(root, WARM, 1, 200)])
    drafts = [Draft(parent.beam, WARM, seed, 200, is_to_end=seed % 2 > 0) for seed in range(6)]
    for draft in drafts:
        nano.start(draft)
    nano.hurry([drafts[0].id], CLOSING, 12)
    nano.advance(Budget(60).start())
    nano.hurry([draft.id for draft in drafts], CLOSING, 12)
    num_done = 0
    while num_done < len(drafts):
        num_done += len(nano.advance(Budget(60).start()))
    nano.release([root.prompt.id])
    assert nano._cells.used == 0
    assert len(nano._free) == nano._num_sequences
    assert nano._nodes == {}


def test_a_hurried_draft_never_outgrows_the_context(nano):
    root = opened(nano, "Ana has 3 apples. " * 80)
    draft = Draft(root, WARM, 0, 10_000, is_to_end=True)
    length = len(nano.open(root.prompt))
    nano.start(draft)
    for _ in range(5):
        assert nano.advance(Budget(60).start()) == []
    nano.hurry([draft.id], CLOSING, 10_000)
    done: list[Drafted] = []
    while not done:
        done = nano.advance(Budget(60).start())
    assert length + done[0].num_drawn <= nano.info.max_context


def test_the_prompt_of_urgent_drafts_is_read_before_those_of_others_and_places_are_kept_for_them():
    engine = LlamaCppEngine(NANO, max_sequences=2, num_cells=2048)
    crowd = [opened(engine, "Ana has 12 apples. Ben has 3 more than Ana. " * 20 + f"Cara has {n}.") for n in range(3)]
    ready = opened(engine)
    [waiting] = run(engine, [Draft(ready, WARM, 0, 200, is_last_use=False)])
    engine.release([waiting.beam.node])
    drafts = [Draft(root, WARM, 0, 3, is_to_end=True, priority=-1.0 - n) for n, root in enumerate(crowd)]
    others = [Draft(ready, WARM, seed, 3, is_to_end=True) for seed in range(2)]
    for draft in (*others, *drafts):
        engine.start(draft)
    done = []
    while len(done) < 5:
        done += engine.advance(Budget(60).start())
    engine.close()
    assert [drafted.draft.id for drafted in done] == [draft.id for draft in (*reversed(drafts), *others)]


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
    from edgesearch.driver import Driver
    from edgesearch.jobs import Job
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
