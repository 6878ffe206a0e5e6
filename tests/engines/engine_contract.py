"""What every engine promises. A test class inherits `EngineContract` and gives an `engine` fixture.

`InProcessContract` is what those promise beside it that hold their drafts themselves, and draw one token a pass.
"""

import pytest

from edgesearch.answer import extract
from edgesearch.budget import Budget, Deadline
from edgesearch.engines.base import Draft, Drafted, Engine
from edgesearch.types import Beam, Forcing, Prompt, Sampling

CLOSING = "\n\nThe answer is \\boxed{"
PROBLEM = "Ana has 12 apples. Ben has 3 more than Ana. Cara has twice as many as Ben. How many apples does Cara have?"
GREEDY = Sampling(temperature=0.0, top_k=0)
WARM = Sampling(temperature=1.0, top_k=0)


def run(engine: Engine, drafts: list[Draft], deadline: Deadline | None = None) -> list[Drafted]:
    """Starts drafts and advances until all are back; in the order of `drafts`."""
    for draft in drafts:
        engine.start(draft)
    done: dict[int, Drafted] = {}
    for _ in range(5000):
        done |= {drafted.draft.id: drafted for drafted in engine.advance(deadline or Budget(600).start())}
        if len(done) == len(drafts):
            return [done[draft.id] for draft in drafts]
    raise AssertionError("the drafts never came back")


class EngineContract:
    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    @pytest.fixture
    def root(self, engine: Engine):
        prompt = Prompt(PROBLEM)
        engine.open(prompt)
        yield Beam(prompt)
        engine.release([prompt.id])

    def draft(self, beam: Beam, seed: int = 0, *, sampling: Sampling = WARM, **options) -> Draft:
        return Draft(beam, sampling, seed, options.pop("max_tokens", 200), **options)

    def test_a_draft_to_the_end_is_a_finished_solution(self, engine, root):
        [drafted] = run(engine, [self.draft(root, is_to_end=True, sampling=GREEDY)])
        assert drafted.beam.finish == "stop"
        assert [step.finish for step in drafted.steps[:-1]] == ["step"] * (len(drafted.steps) - 1)
        assert drafted.beam.text.count("\n\n") == len(drafted.steps) - 1

    def test_a_draft_by_one_step_ends_with_the_delimiter(self, engine, root):
        [drafted] = run(engine, [self.draft(root, sampling=GREEDY)])
        [step] = drafted.steps
        assert step.finish == "step"
        assert step.text.endswith("\n\n")
        assert step.text.strip()
        engine.release([drafted.beam.node])

    def test_step_by_step_and_in_one_go_write_the_same_greedy_solution(self, engine, root):
        [whole] = run(engine, [self.draft(root, is_to_end=True, is_last_use=False, sampling=GREEDY)])
        beam = root
        while beam.is_alive:
            [drafted] = run(engine, [self.draft(beam, sampling=GREEDY)])
            beam = drafted.beam
        assert beam.text == whole.beam.text
        assert beam.num_tokens == whole.beam.num_tokens

    def test_the_prompt_is_prefilled_once_and_reused_by_every_other_draft(self, engine):
        prompt = Prompt(PROBLEM)
        length = len(engine.open(prompt))
        drafts = run(engine, [self.draft(Beam(prompt), seed, is_to_end=True) for seed in range(6)])
        assert sum(drafted.prefilled_tokens for drafted in drafts) == length
        assert sum(drafted.reused_tokens for drafted in drafts) == 5 * length

    def test_a_continued_beam_reuses_its_whole_past_but_its_last_token(self, engine, root):
        [first] = run(engine, [self.draft(root, sampling=GREEDY)])
        children = run(engine, [self.draft(first.beam, seed) for seed in range(3)])
        assert all(child.prefilled_tokens == 0 for child in children)
        assert min(child.reused_tokens for child in children) >= first.reused_tokens + first.beam.num_tokens - 1
        engine.release([child.beam.node for child in children])

    def test_a_beam_grown_with_the_seed_of_its_parent_is_the_sample_drawn_in_one_go(self, engine, root):
        for seed in range(5):
            [whole] = run(engine, [self.draft(root, seed, is_to_end=True, is_last_use=False)])
            beam = root
            while beam.is_alive:
                [drafted] = run(engine, [self.draft(beam, seed, is_last_use=beam is not root)])
                beam = drafted.beam
            assert beam.text == whole.beam.text

    def test_a_draft_of_several_steps_comes_back_after_the_last_of_them(self, engine, root):
        [whole] = run(engine, [self.draft(root, 3, is_to_end=True, is_last_use=False)])
        [two] = run(engine, [self.draft(root, 3, num_steps=2, is_last_use=False)])
        assert [step.text for step in two.steps] == [step.text for step in whole.steps[:2]]
        [many] = run(engine, [self.draft(root, 3, num_steps=99)])
        assert many.beam.text == whole.beam.text
        assert many.beam.finish == "stop"
        engine.release([two.beam.node])

    def test_a_draft_says_how_sure_the_solver_was_of_each_token_only_if_it_is_asked(self, engine, root):
        plain, asked = run(engine, [self.draft(root, 3, has_certainty=has, is_to_end=True) for has in (False, True)])
        assert [step.token_ids for step in plain.steps] == [step.token_ids for step in asked.steps]
        assert all(step.certainty is None for step in plain.steps)
        for step in asked.steps:
            sure = step.certainty
            sizes = {len(part) for part in (sure.logprobs, sure.entropies, sure.margins, sure.confidences)}
            assert sizes == {len(step.token_ids)}
            assert sum(sure.logprobs) == pytest.approx(step.logprob)
            assert min(sure.entropies) >= 0
            assert all(0 <= margin <= 1 for margin in sure.margins)
            assert min(sure.confidences) > 0

    def test_the_end_can_be_replaced_by_a_text_after_which_the_solver_goes_on(self, engine, root):
        forcing = Forcing(extension="\n\nAna has 12.\n\n", num_extensions=2)
        plain, forced = run(engine, [self.draft(root, 3, is_to_end=True, forcing=how) for how in (None, forcing)])
        assert forced.beam.text.startswith(plain.beam.text)
        assert forced.beam.text[len(plain.beam.text) :].startswith("\n\nAna has 12.\n\n")
        assert forced.beam.text.count("Ana has 12.") == 2
        assert forced.num_drawn == sum(len(step.token_ids) for step in forced.steps)

    def test_a_closing_is_written_when_the_limit_comes_near(self, engine, root):
        forcing = Forcing(closing="\n\nThe answer is \\boxed{", closing_tokens=40)
        [plain] = run(engine, [self.draft(root, 3, is_to_end=True, is_last_use=False)])
        limit = plain.num_drawn // 2 + 40
        [forced] = run(engine, [self.draft(root, 3, is_to_end=True, max_tokens=limit, forcing=forcing)])
        before = forced.beam.text.split("\n\nThe answer is \\boxed{")[0]
        assert plain.beam.text.startswith(before)
        assert forced.beam.text != plain.beam.text
        assert forced.num_drawn <= limit

    def test_a_seed_fixes_its_draft_whatever_shares_the_batch(self, engine, root):
        def alone_or_not(others):
            drafts = [self.draft(root, 7, is_to_end=True, is_last_use=False)]
            drafts += [self.draft(root, seed, is_to_end=True, is_last_use=False) for seed in range(100, 100 + others)]
            return run(engine, drafts)[0].beam.text

        assert alone_or_not(0) == alone_or_not(5) == alone_or_not(20)

    def test_seeds_give_different_samples(self, engine, root):
        texts = {drafted.beam.text for drafted in run(engine, [self.draft(root, s, is_to_end=True) for s in range(20)])}
        assert len(texts) > 1

    def test_a_whole_draft_never_comes_back_alive_wherever_its_token_limit_falls(self, engine, root):
        [step] = run(engine, [self.draft(root, 3, is_last_use=False)])
        limits = range(1, step.beam.num_tokens + 2)  # one of them on the step's end
        drafts = [self.draft(root, 3, max_tokens=limit, is_to_end=True, is_last_use=False) for limit in limits]
        assert not any(drafted.beam.is_alive for drafted in run(engine, drafts))

    def test_the_token_limit_ends_a_draft_as_length(self, engine, root):
        [drafted] = run(engine, [self.draft(root, is_to_end=True, max_tokens=3)])
        assert drafted.beam.finish == "length"
        assert drafted.beam.num_tokens == 3

    def test_a_cancelled_draft_gives_what_it_has(self, engine, root):
        draft = self.draft(root, is_to_end=True)
        engine.start(draft)
        for _ in range(3):
            assert engine.advance(Budget(600).start()) == []
        [cut] = engine.cancel([draft.id, -1])
        assert cut.beam.finish == "deadline"
        assert cut.beam.num_tokens >= 2
        assert engine.advance(Budget(600).start()) == []

    def test_a_draft_cancelled_before_its_first_token_has_no_steps(self, engine, root):
        draft = self.draft(root)
        engine.start(draft)
        [cut] = engine.cancel([draft.id])
        assert cut.steps == ()

    def test_an_expired_deadline_changes_nothing(self, engine, root):
        [undisturbed] = run(engine, [self.draft(root, 3, is_to_end=True, is_last_use=False)])
        over = Budget(600).start()
        over.cancel()
        draft = self.draft(root, 3, is_to_end=True)
        engine.start(draft)
        done: list[Drafted] = []
        for _ in range(1000):
            assert engine.advance(over) == [] or done
            done = engine.advance(Budget(600).start())
            if done:
                break
        assert done[0].beam.text == undisturbed.beam.text

    def test_releasing_unknown_nodes_is_harmless(self, engine):
        engine.release([-1, 10**9])

    def test_more_drafts_than_fit_together_all_come_back(self, engine, root):
        count = engine.info.max_sequences + 10
        assert len(run(engine, [self.draft(root, seed, is_to_end=True) for seed in range(count)])) == count


def token_ids(drafted: Drafted) -> list[int]:
    return [token for step in drafted.steps for token in step.token_ids]


class InProcessContract(EngineContract):
    def hurried(self, engine: Engine, draft: Draft, num_passes: int, max_tokens: int = 20) -> Drafted:
        """A draft that is hurried after so many passes; 0 for one that still waits."""
        engine.start(draft)
        for _ in range(num_passes):
            assert engine.advance(Budget(600).start()) == []
        engine.hurry([draft.id, -1], CLOSING, max_tokens)
        for _ in range(max_tokens):
            if done := engine.advance(Budget(600).start()):
                [drafted] = done
                assert drafted.draft == draft
                return drafted
        raise AssertionError("it took more passes than it may draw tokens")

    def test_a_draft_hurried_at_any_moment_states_one_answer_in_place(self, engine, root):
        [plain] = run(engine, [self.draft(root, 3, is_to_end=True, is_last_use=False)])
        for num_passes in range(plain.num_drawn - 1):
            drafted = self.hurried(engine, self.draft(root, 3, is_to_end=True, is_last_use=False), num_passes)
            assert token_ids(drafted)[:num_passes] == token_ids(plain)[:num_passes]
            assert drafted.num_drawn == len(token_ids(drafted)) <= num_passes + 20
            assert drafted.prefilled_tokens == 0
            assert drafted.beam.finish == "stop"
            assert drafted.beam.text.count("The answer is") == 1
            assert extract(drafted.beam.text) is not None
            assert all(step.text.strip() for step in drafted.steps)
            assert [step.finish for step in drafted.steps[:-1]] == ["step"] * (len(drafted.steps) - 1)

    def test_a_hurried_draft_of_one_step_goes_on_to_its_end(self, engine, root):
        drafted = self.hurried(engine, self.draft(root, 3), 2)
        assert drafted.beam.finish == "stop"
        assert extract(drafted.beam.text) is not None

    def test_a_draft_hurried_before_it_starts_begins_with_the_closing(self, engine, root):
        [first] = run(engine, [self.draft(root, 3)])
        drafted = self.hurried(engine, self.draft(first.beam, 3), 0)
        assert drafted.beam.text.startswith(first.beam.text + CLOSING.strip())
        assert len(drafted.beam.steps) == len(first.beam.steps) + 1

    def test_a_draft_that_states_its_answer_is_left_to_end(self, engine, root):
        [plain] = run(engine, [self.draft(root, 3, is_to_end=True, is_last_use=False)])
        drafted = self.hurried(engine, self.draft(root, 3, is_to_end=True), plain.num_drawn - 2)
        assert drafted.beam.text == plain.beam.text
        assert drafted.beam.finish == "stop"

    def test_a_hurried_draft_that_gets_no_further_is_cut_off(self, engine, root):
        drafted = self.hurried(engine, self.draft(root, 3, is_to_end=True, is_last_use=False), 4, max_tokens=2)
        assert drafted.beam.finish == "length"
        assert drafted.num_drawn == 6

    def test_a_hurried_draft_keeps_its_own_limit(self, engine, root):
        drafted = self.hurried(engine, self.draft(root, 3, is_to_end=True, max_tokens=6), 4)
        assert drafted.beam.finish == "length"
        assert drafted.num_drawn == 6

    def test_a_draft_is_hurried_once(self, engine, root):
        draft = self.draft(root, 3, is_to_end=True)
        engine.start(draft)
        engine.advance(Budget(600).start())
        engine.hurry([draft.id], CLOSING, 30)
        engine.hurry([draft.id], CLOSING, 1)
        done: list[Drafted] = []
        while not done:
            done = engine.advance(Budget(600).start())
            engine.hurry([draft.id], CLOSING, 1)
        assert done[0].beam.finish == "stop"
        assert done[0].beam.text.count("The answer is") == 1

    def test_a_draft_that_its_forcing_has_closed_is_not_hurried(self, engine, root):
        forcing = Forcing(closing=CLOSING, closing_tokens=40)
        drafts = [self.draft(root, 3, is_to_end=True, max_tokens=44, forcing=forcing) for _ in range(2)]
        [left] = run(engine, [self.draft(root, 3, is_to_end=True, max_tokens=44, forcing=forcing, is_last_use=False)])
        engine.start(drafts[0])
        for _ in range(6):
            engine.advance(Budget(600).start())
        engine.hurry([drafts[0].id], CLOSING, 1)
        done: list[Drafted] = []
        while not done:
            done = engine.advance(Budget(600).start())
        assert token_ids(done[0]) == token_ids(left)

    def test_a_hurried_draft_is_not_made_to_think_on(self, engine, root):
        forcing = Forcing(extension="\n\nWait", num_extensions=5)
        drafted = self.hurried(engine, self.draft(root, 3, is_to_end=True, forcing=forcing), 4)
        assert "Wait" not in drafted.beam.text

    def test_drafts_that_share_a_batch_with_a_hurried_one_draw_what_they_would_have_drawn(self, engine, root):
        def others(is_hurried):
            drafts = [self.draft(root, seed, is_to_end=True, is_last_use=False) for seed in range(6)]
            for draft in drafts:
                engine.start(draft)
            done: dict[int, Drafted] = {}
            for number in range(5000):
                if number == 5 and is_hurried:
                    engine.hurry([draft.id for draft in drafts[::2]], CLOSING, 12)
                done |= {drafted.draft.id: drafted for drafted in engine.advance(Budget(600).start())}
                if len(done) == len(drafts):
                    return [token_ids(done[draft.id]) for draft in drafts]
            raise AssertionError("the drafts never came back")

        left, hurried = others(False), others(True)
        assert hurried[1::2] == left[1::2]
        assert hurried[0] != left[0]

    def test_drafts_hurried_while_they_wait_for_room_state_an_answer_each(self, engine, root):
        drafts = [self.draft(root, seed, is_to_end=True) for seed in range(engine.info.max_sequences + 10)]
        for draft in drafts:
            engine.start(draft)
        done = engine.advance(Budget(600).start())
        engine.hurry([draft.id for draft in drafts], CLOSING, 20)
        for _ in range(100):
            done += engine.advance(Budget(600).start())
        assert len(done) == len(drafts)
        assert all(drafted.num_drawn <= 21 and drafted.beam.text.count("The answer is") == 1 for drafted in done)

    @pytest.mark.parametrize(("closing", "max_tokens"), [("\n\n", 20), ("", 20), (CLOSING, 0)])
    def test_hurrying_with_nothing_to_say_or_no_token_to_say_it_is_a_bug_of_the_caller(
        self, engine, closing, max_tokens
    ):
        with pytest.raises(ValueError, match="must"):
            engine.hurry([], closing, max_tokens)

    def test_where_room_is_scarce_the_most_urgent_drafts_start_first_and_the_others_in_their_turn(self, engine, root):
        other = Prompt("Ben has 4 apples and gives 1 to Ana. How many apples does Ben have?")
        engine.open(other)
        room = engine.info.max_sequences
        early = [self.draft(root, seed, is_to_end=True, max_tokens=4, priority=9.0) for seed in range(3 * room)]
        late = [self.draft(Beam(other), seed, is_to_end=True, max_tokens=4, priority=5.0) for seed in range(room + 3)]
        for draft in early:
            engine.start(draft)
        done = engine.advance(Budget(600).start())
        for draft in late:
            engine.start(draft)
        for _ in range(100):
            done += engine.advance(Budget(600).start())
        order = [drafted.draft.priority for drafted in done]
        num_begun = order.index(5.0)  # those that had started when the others came
        assert room <= num_begun <= room + 1
        assert order[num_begun : num_begun + len(late)] == [5.0] * len(late)
        assert order[num_begun + len(late) :] == [9.0] * (len(early) - num_begun)

    def test_drafts_of_equal_urgency_start_in_order_of_arrival(self, engine, root):
        drafts = [self.draft(root, 0, is_to_end=True, max_tokens=2) for _ in range(3 * engine.info.max_sequences)]
        for draft in drafts:
            engine.start(draft)
        done: list[Drafted] = []
        for _ in range(20):
            done += engine.advance(Budget(600).start())
        assert [drafted.draft.id for drafted in done] == [draft.id for draft in drafts]
