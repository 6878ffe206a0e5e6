"""The engine over HTTP: against a server that behaves like several real ones, with faults, and one real server."""

import json
import math
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch import catalog, loading
from edgesearch.budget import Budget
from edgesearch.catalog import SolverSpec
from edgesearch.engines.base import Draft, Pace
from edgesearch.engines.endpoint import TEMPLATES, connect
from edgesearch.engines.http_client import Call, HttpClient, HttpConfig, OutOfTime, Refused, parse_url
from edgesearch.engines.openai_api import EndpointConfig, OpenAIEngine
from edgesearch.engines.openai_protocol import Token, parse_reply, sureness
from edgesearch.engines.sampling import sureness as whole_sureness
from edgesearch.engines.vocabulary import Vocabulary
from edgesearch.engines.written import Written, aligned, dictated
from edgesearch.errors import ContextOverflow, EndpointError, UsageError
from edgesearch.pipeline import Pipeline
from edgesearch.prompt import ASK_AGAIN, ChatTemplate
from edgesearch.types import Beam, Forcing, Prompt, Sampling
from edgesearch.verifiers.scripted import ScriptedVerifier

from .engine_contract import CLOSING, GREEDY, PROBLEM, WARM, EngineContract, run
from .openai_server import BARE, DELIMITER, VLLM, Kind, cut_off_in_the_body, serving, solution, status

PACE = Pace(((1, 0.001), (8, 0.001)), 1000.0)
SHORT = HttpConfig(timeout_s=5, max_attempts=3)


@contextmanager
def engine_over(server, *, pace=PACE, template=None, pauses=None, **options):
    """An engine whose waits between attempts are noted, not slept."""
    noted = [] if pauses is None else pauses
    client = HttpClient(
        parse_url(server.url), config=SHORT, pause=lambda _call, seconds: noted.append(seconds), jitter=lambda: 0.5
    )
    engine = OpenAIEngine(client, "model", config=EndpointConfig(**options), template=template, pace=pace)
    try:
        yield engine
    finally:
        engine.close()


def opened(engine, text=PROBLEM):
    prompt = Prompt(text)
    engine.open(prompt)
    return Beam(prompt)


class TestOverVllm(EngineContract):
    kind, options = VLLM, {}

    @pytest.fixture
    def engine(self):
        with serving(self.kind) as server, engine_over(server, **self.options) as engine:
            yield engine

    def test_the_prompt_is_prefilled_once_and_reused_by_every_other_draft(self, engine):
        """As in the contract, but it is the server that counts the prompt, and requests one by one that share it."""
        root = opened(engine)
        drafts = [run(engine, [self.draft(root, seed, is_to_end=True)])[0] for seed in range(4)]
        length = drafts[0].prefilled_tokens
        assert length > 20
        assert [drafted.prefilled_tokens for drafted in drafts] == [length, 0, 0, 0]
        assert [drafted.reused_tokens for drafted in drafts] == [0, length, length, length]

    def test_a_draft_is_not_hurried_and_comes_back_as_it_would_have(self, engine, root):
        [left] = run(engine, [self.draft(root, 3, is_to_end=True, is_last_use=False)])
        draft = self.draft(root, 3, is_to_end=True)
        engine.start(draft)
        engine.hurry([draft.id], CLOSING, 1)
        done = []
        while not done:
            done = engine.advance(Budget(600).start())
            engine.hurry([draft.id], CLOSING, 1)
        assert done[0].beam.text == left.beam.text
        assert not engine.info.can_hurry

    def test_a_cancelled_draft_gives_what_it_has(self):
        """As in the contract, but an answer comes whole: what has come before the cut is the text of earlier ones."""
        with serving(self.kind) as server, engine_over(server, **self.options) as engine:
            root = opened(engine)
            server.gate = threading.Event()
            draft = self.draft(root, is_to_end=True)
            engine.start(draft)
            assert [engine.advance(Budget(600).start()) for _ in range(3)] == [[], [], []]
            [cut] = engine.cancel([draft.id, -1])
            assert cut.steps == ()
            assert engine.advance(Budget(600).start()) == []
            assert any("cut off" in warning for warning in engine.warnings)

    def test_the_end_can_be_replaced_by_a_text_after_which_the_solver_goes_on(self):
        """As in the contract, but what is written is no token that the server draws: it reads it."""
        with serving(self.kind) as server, engine_over(server, **self.options) as engine:
            root, forcing = opened(engine), Forcing(extension="\n\nAna has 12.\n\n", num_extensions=2)
            plain, forced = run(engine, [self.draft(root, 3, is_to_end=True, forcing=how) for how in (None, forcing)])
            assert forced.beam.text == plain.beam.text + forcing.extension * 2
            assert forced.beam.finish == "stop"
            assert plain.num_drawn + forced.num_drawn == server.num_drawn
            assert forced.beam.num_tokens == plain.beam.num_tokens + 2 * 6  # a break, 4 words and signs, a break


class TestOverABareServer(TestOverVllm):
    """One that tells neither a step's end from the solution's, nor tokens, nor what its cache saved."""

    kind, options = BARE, {"piece_tokens": 5}

    def test_the_prompt_is_prefilled_once_and_reused_by_every_other_draft(self, engine):
        root = opened(engine)
        drafts = run(engine, [self.draft(root, seed, is_to_end=True) for seed in range(3)])
        assert len({drafted.prefilled_tokens for drafted in drafts}) == 1
        assert any("prefix cache" in warning for warning in engine.warnings)

    def test_a_continued_beam_reuses_its_whole_past_but_its_last_token(self, engine, root):
        [first] = run(engine, [self.draft(root, sampling=GREEDY)])
        children = run(engine, [self.draft(first.beam, seed) for seed in range(3)])
        assert all(child.beam.text.startswith(first.beam.text) for child in children)

    def test_a_draft_says_how_sure_the_solver_was_of_each_token_only_if_it_is_asked(self, engine, root):
        """It does not tell: that is said once, and no figure is made up."""
        for drafted in run(engine, [self.draft(root, seed, has_certainty=True, is_to_end=True) for seed in range(2)]):
            assert all(step.certainty is None for step in drafted.steps)
        assert sum("how sure the solver was" in warning for warning in engine.warnings) == 1


# -- requests ----------------------------------------------------------------------------------------------------------


def test_a_request_holds_the_prompt_the_beam_so_far_the_seed_and_every_filter():
    with serving() as server, engine_over(server) as engine:
        root = opened(engine)
        [first] = run(engine, [Draft(root, Sampling(0.7, 20, 0.9, 0.1), 5, 40)])
        run(engine, [Draft(first.beam, Sampling(0.7, 20, 0.9, 0.1), 6, 30)])
        one, two = server.posts
        wanted = {"model": "model", "temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.1}
        wanted |= {"repeat_penalty": 1.0, "repetition_penalty": 1.0}  # llama.cpp's name and vLLM's
        assert wanted.items() <= one.items()
        assert (one["prompt"], one["max_tokens"], one["stop"]) == (PROBLEM + DELIMITER, 40, [DELIMITER])
        assert two["prompt"] == one["prompt"] + first.beam.text
        assert 0 <= one["seed"] != two["seed"] < 2**31


@pytest.mark.parametrize("kind", [VLLM, Kind(has_usage=False, has_logprobs=False)], ids=["counts", "does not count"])
def test_a_child_with_the_seed_of_its_parent_does_not_repeat_its_draws(kind):
    with serving(kind) as server, engine_over(server) as engine:
        beam = opened(engine)
        while beam.is_alive:
            [drafted] = run(engine, [Draft(beam, WARM, 3, 100)])
            beam = drafted.beam
        assert len({post["seed"] for post in server.posts}) == len(server.posts) == 3


def test_a_seed_is_that_of_the_place_however_it_was_reached():
    with serving() as server, engine_over(server) as engine:
        root = opened(engine)
        run(engine, [Draft(root, WARM, 3, 100, num_steps=3)])
        beam, asked = root, len(server.posts)
        for _ in range(3):
            [drafted] = run(engine, [Draft(beam, WARM, 3, 100)])
            beam = drafted.beam
        assert [post["seed"] for post in server.posts[:asked]] == [post["seed"] for post in server.posts[asked:]]


def test_what_was_drawn_beyond_several_steps_is_the_head_of_their_first_child():
    with serving(BARE) as server, engine_over(server, piece_tokens=100) as engine:
        [two] = run(engine, [Draft(opened(engine), WARM, 3, 200, num_steps=2)])
        assert [step.finish for step in two.steps] == ["step", "step"]
        asked = len(server.posts)
        [child] = run(engine, [Draft(two.beam, WARM, 4, 100, num_steps=2)])
        assert len(server.posts) == asked
        assert child.beam.text == solution(server.posts[0]["seed"])
        assert child.beam.finish == "stop"


def test_drafts_of_one_beam_share_a_request_where_asked_for():
    with serving() as server, engine_over(server, choices_per_request=4) as engine:
        root = opened(engine)
        drafts = run(engine, [Draft(root, WARM, seed, 100) for seed in range(6)])
        assert sorted(post.get("n", 1) for post in server.posts) == [2, 4]
        assert len({drafted.beam.text for drafted in drafts}) == 6
        assert sum(drafted.prefilled_tokens > 0 for drafted in drafts) <= 2


def test_the_requests_of_urgent_drafts_are_sent_first():
    with serving() as server, engine_over(server, concurrency=1) as engine:
        root, other = opened(engine), opened(engine, "How many apples does Ben have?")
        for seed in range(3):
            engine.start(Draft(root, WARM, seed, 100, is_to_end=True, priority=9.0))
        done = engine.advance(Budget(600).start())  # sends the first of them
        engine.start(Draft(other, WARM, 0, 100, is_to_end=True, priority=5.0))
        while len(done) < 4:
            done += engine.advance(Budget(600).start())
        assert [PROBLEM in post["prompt"] for post in server.posts] == [True, False, True, True]


def test_drafts_that_ask_for_different_things_do_not_share_a_request():
    forced = Forcing(extension=" Wait", num_extensions=1)
    ways = [{}, {"has_certainty": True}, {"forcing": forced}, {}, {"has_certainty": True}, {"forcing": forced}]
    with serving() as server, engine_over(server, choices_per_request=8) as engine:
        root = opened(engine)
        run(engine, [Draft(root, WARM, seed, 100, is_to_end=True, **way) for seed, way in enumerate(ways)])
        assert [post.get("n", 1) for post in server.posts if post["prompt"] == PROBLEM + DELIMITER] == [2, 2, 2]


def test_choices_that_a_server_leaves_out_are_asked_for_again():
    with serving(Kind(max_choices=1)) as server, engine_over(server, choices_per_request=4) as engine:
        root = opened(engine)
        drafts = run(engine, [Draft(root, WARM, seed, 100, is_to_end=True) for seed in range(4)])
        assert all(drafted.beam.finish == "stop" for drafted in drafts)
        assert [post.get("n", 1) for post in server.posts] == [4, 1, 1, 1]
        assert any("1 of 4 choices" in warning for warning in engine.warnings)


def test_a_server_that_gives_no_choice_at_all_is_an_error():
    with serving() as server, engine_over(server) as engine:
        server.faults = [lambda handler: handler.send(200, {"choices": []})] * 3
        with pytest.raises(EndpointError, match="3 times without a single choice"):
            run(engine, [Draft(opened(engine), WARM, 0, 100)])


def test_no_more_requests_than_allowed_are_under_way_together():
    with serving() as server, engine_over(server, concurrency=3) as engine:
        root, server.gate = opened(engine), threading.Event()
        for seed in range(8):
            engine.start(Draft(root, WARM, seed, 100, is_to_end=True))
        while len(server.posts) < 3:
            engine.advance(Budget(600).start())
        engine.advance(Budget(600).start())
        assert len(server.posts) == 3
        server.gate.set()
        done = []
        while len(done) < 8:
            done += engine.advance(Budget(600).start())


def test_a_request_asks_for_no_more_tokens_than_the_deadline_has_room_for_and_goes_on_with_another():
    slow = Pace(((1, 1.0), (8, 1.0)), 1000.0)
    with serving() as server, engine_over(server, pace=slow) as engine:
        deadline = Budget(60).start()  # room for 40 tokens at 1.5 s each
        [drafted] = run(engine, [Draft(opened(engine), WARM, 0, 1000, is_to_end=True)], deadline)
        assert 35 <= server.posts[0]["max_tokens"] <= 40
        assert drafted.beam.finish == "stop"
        late = Budget(1).start()
        run(engine, [Draft(opened(engine), WARM, 0, 1000, is_to_end=True)], late)
        assert server.posts[1]["max_tokens"] == 16


def test_what_was_drawn_beyond_a_step_is_the_head_of_its_first_child_and_booked_once():
    with serving(BARE) as server, engine_over(server, piece_tokens=100) as engine:
        root = opened(engine)
        [first] = run(engine, [Draft(root, WARM, 3, 200)])
        asked = len(server.posts)
        [second] = run(engine, [Draft(first.beam, WARM, 4, 150)])
        [third] = run(engine, [Draft(second.beam, WARM, 4, 100)])
        assert len(server.posts) == asked
        assert third.beam.finish == "stop"
        assert [step.finish for step in third.beam.steps] == ["step", "step", "stop"]
        assert (second.num_drawn, third.num_drawn) == (0, 0)
        [other] = run(engine, [Draft(root, WARM, 9, 200)])
        engine.release([other.beam.node])
        assert first.num_drawn + other.num_drawn == server.num_drawn


@pytest.mark.parametrize("kind", [VLLM, BARE], ids=["vllm", "bare"])
@pytest.mark.parametrize("strategy", ["majority", "beam"])
def test_every_token_that_the_server_draws_is_in_the_usage_whether_it_was_of_use_or_not(kind, strategy):
    with serving(kind) as server, engine_over(server, piece_tokens=7) as engine:
        verifier = ScriptedVerifier(lambda _beam, _step: 0.5)
        loaded = Pipeline(SolverSpec("model", Path()), engine, verifier, "scripted")
        before = server.num_drawn
        solution = loaded.solve("How many?", budget_s=60, strategy=strategy, n=8, m=2)
        assert solution.finish == "stop"
        assert solution.usage.decoded_tokens == server.num_drawn - before


def test_tokens_of_a_cancelled_draft_that_shared_a_request_are_booked_on_another():
    with serving() as server, engine_over(server, choices_per_request=4) as engine:
        root, server.gate = opened(engine), threading.Event()
        drafts = [Draft(root, WARM, seed, 100, is_to_end=True) for seed in range(4)]
        for draft in drafts:
            engine.start(draft)
        while not server.posts:
            engine.advance(Budget(600).start())
        [cut] = engine.cancel([drafts[0].id])
        server.gate.set()
        done = [cut]
        while len(done) < 4:
            done += engine.advance(Budget(600).start())
        assert cut.num_drawn == 0
        assert sum(drafted.num_drawn for drafted in done) == server.num_drawn == 4 * 16


def test_the_tokens_of_a_solution_are_those_that_the_server_counts():
    for kind in (VLLM, Kind(has_logprobs=False), BARE):
        with serving(kind) as server, engine_over(server) as engine:
            [drafted] = run(engine, [Draft(opened(engine), GREEDY, 0, 100, is_to_end=True)])
            assert drafted.beam.num_tokens == 16  # words, spaces between them, two delimiters, the end of turn
            assert drafted.beam.logprob == pytest.approx(-8 if kind.has_logprobs else 0.0)
            assert len({step.token_ids for step in drafted.steps}) == 3


def test_a_server_that_does_not_count_leaves_the_number_unknown_and_says_so():
    kind = Kind(has_usage=False, has_logprobs=False)
    with serving(kind) as server, engine_over(server) as engine:
        root = opened(engine)
        [drafted] = run(engine, [Draft(root, GREEDY, 0, 100)])
        assert drafted.steps[0].token_ids == ()
        assert drafted.beam.num_tokens == drafted.prefilled_tokens == 0
        assert sum("does not count tokens" in warning for warning in engine.warnings) == 1


def test_fields_that_a_server_refuses_are_left_out_from_then_on_and_named():
    with serving(Kind(refused=("top_k", "repeat_penalty"))) as server, engine_over(server, pace=None) as engine:
        run(engine, [Draft(opened(engine), GREEDY, 0, 100)])
        assert not {"top_k", "repeat_penalty"} & server.posts[-1].keys()
        assert [warning for warning in engine.warnings if "refuses the field top_k" in warning]
        assert engine.pace.step_s(8) > 0 < engine.pace.prefill_tokens_per_s


def test_a_full_context_shortens_requests_ends_solutions_and_refuses_problems_without_room():
    size = len(PROBLEM.split()) * 2
    with serving(Kind(max_context=size + 40)) as server, engine_over(server) as engine:
        [drafted] = run(engine, [Draft(opened(engine), GREEDY, 0, 1000, is_to_end=True)])
        assert drafted.beam.finish == "stop"
        assert server.posts[-1]["max_tokens"] < 40
        assert engine.info.max_context == size + 40
        with pytest.raises(ContextOverflow, match="shorten it"):
            run(engine, [Draft(opened(engine, PROBLEM * 2), GREEDY, 0, 1000, is_to_end=True)])


def test_an_attempt_that_does_not_fit_the_server_is_dropped_and_those_before_it_are_kept():
    with (
        serving(Kind(max_context=170)) as server,
        loading.load_endpoint(server.url, "model") as loaded,
    ):
        solution = loaded.solve("How many?", budget_s=60, strategy="revision_vote", n=4, options={"length": 4})
        assert solution.answer is not None
        assert len(solution.candidates) == 1
        assert any("was not revised, since it did not fit" in warning for warning in solution.warnings)


def test_a_model_that_the_server_does_not_list_is_told_without_control_characters():
    with serving() as server:
        client = HttpClient(parse_url(server.url), config=SHORT)
        engine = OpenAIEngine(client, "evil\x1b[2J\n", pace=PACE)
        assert engine.info.name == "evil?[2J?"
        assert any("does not list a model evil?[2J?, but model" in warning for warning in engine.warnings)
        engine.close()


# -- what is written for the solver ------------------------------------------------------------------------------------


def forced(server, max_tokens=200, **settings):
    """A draft with that forcing from a root, and an unforced one with the same seed."""
    with engine_over(server) as engine:
        root, forcing = opened(engine), Forcing(**settings)
        [plain] = run(engine, [Draft(root, WARM, 3, 200, is_to_end=True)])
        del server.requests[:]
        [drafted] = run(engine, [Draft(root, WARM, 3, max_tokens, is_to_end=True, forcing=forcing)])
        return plain, drafted


def test_an_extension_takes_the_place_of_the_end_of_turn_and_the_next_request_goes_on_after_it():
    with serving() as server:
        plain, drafted = forced(server, extension=" Wait, no", num_extensions=1)
        one, two = server.posts
        assert two["prompt"] == one["prompt"] + plain.beam.text + " Wait, no"
        assert (one["max_tokens"], two["max_tokens"]) == (200, 200 - 15 - 3)  # less the text, and " Wait" "," " no"
        assert drafted.beam.text == plain.beam.text + " Wait, no"
        assert drafted.num_drawn == 16 + 1  # an end of turn each time
        assert drafted.beam.num_tokens == 15 + 3 + 1


def test_a_closing_is_written_where_the_limit_less_its_tokens_is_reached():
    with serving() as server:
        plain, drafted = forced(server, max_tokens=30, closing=" So", closing_tokens=25)
        one, two = server.posts
        assert one["max_tokens"] == 5
        assert two["prompt"].removeprefix(one["prompt"]) == f"first w{one['seed']}\n\nsecond So"
        assert two["max_tokens"] == 30 - 5 - 1
        assert plain.beam.text.startswith(f"first w{one['seed']}\n\nsecond")
        assert drafted.num_drawn <= 30


def test_a_closing_is_written_where_the_most_thought_is_reached_and_there_is_room_for_more_after_it():
    with serving() as server:
        _, drafted = forced(server, closing=" So", closing_tokens=20, max_thinking_tokens=4)
        assert [post["max_tokens"] for post in server.posts] == [4, 200 - 4 - 1]
        assert drafted.beam.finish == "stop"


def test_a_draft_without_room_for_thought_begins_with_its_closing():
    with serving() as server:
        _, drafted = forced(server, max_tokens=20, closing="So", closing_tokens=20)
        [post] = server.posts
        assert post["prompt"] == PROBLEM + DELIMITER + "So"
        assert drafted.beam.text.startswith("So")


def test_a_closing_longer_than_the_limit_is_cut_at_it():
    with serving() as server:
        _, drafted = forced(server, max_tokens=6, closing=" a b c d e", closing_tokens=2)
        assert len(server.posts) == 1
        assert drafted.beam.text.endswith(" a b")
        assert (drafted.beam.finish, drafted.beam.num_tokens, drafted.num_drawn) == ("length", 6, 4)


def test_nothing_is_extended_after_the_closing():
    with serving() as server:
        _, drafted = forced(
            server, extension=" Wait", num_extensions=5, closing=" So", closing_tokens=1, max_thinking_tokens=18
        )
        assert drafted.beam.text.count(" Wait") == 3
        assert drafted.beam.text.endswith(" So")
        assert drafted.beam.finish == "stop"


def test_an_extended_draft_counts_what_was_written_as_a_local_vocabulary_does():
    with serving() as server:
        client = HttpClient(parse_url(server.url), config=SHORT)
        engine = OpenAIEngine(client, "model", pace=PACE, vocabulary=Vocabulary(catalog.solver("nano").path))
        forcing = Forcing(extension="\n\nThe answer is", num_extensions=1)
        run(engine, [Draft(opened(engine), WARM, 3, 200, is_to_end=True, forcing=forcing)])
        written = len(engine._vocabulary.tokenize(forcing.extension))
        assert [post["max_tokens"] for post in server.posts] == [200, 200 - 15 - written]
        engine.close()


def test_the_chat_api_refuses_what_is_written_for_the_solver():
    with serving() as server, engine_over(server, mode="chat") as engine:
        forcing = Forcing(closing="So", closing_tokens=4)
        with pytest.raises(UsageError, match="none that is written on"):
            engine.start(Draft(opened(engine), GREEDY, 0, 100, is_to_end=True, forcing=forcing))


@pytest.mark.parametrize("text", ["\n\nWait", "The answer is \\boxed{", "  a\t b ", "\u00e9t\u00e9 \u2260 42%", "\r\n"])
def test_the_estimated_tokens_of_a_text_make_it_up(text):
    written = dictated(text)
    assert "".join(token.text for token in written.tokens) == text
    assert written.count == len(written.tokens)
    assert all(token.text and token.logprob == 0 for token in written.tokens)


# -- how sure the solver was -------------------------------------------------------------------------------------------


def test_the_likeliest_tokens_are_asked_for_only_where_certainty_is_wanted():
    for mode, asked in (("completions", {"logprobs": 20}), ("chat", {"logprobs": True, "top_logprobs": 20})):
        with serving() as server, engine_over(server, mode=mode) as engine:
            root = opened(engine)
            plain, sure = (Draft(root, GREEDY, 0, 100, is_to_end=True, has_certainty=has) for has in (False, True))
            run(engine, [plain])
            [drafted] = run(engine, [sure])
            assert "top_logprobs" not in server.posts[0]
            assert server.posts[0]["logprobs"] in (1, True)
            assert asked.items() <= server.posts[1].items()
            certainty = drafted.steps[0].certainty
            assert certainty.logprobs == (-0.5,) * 4
            assert certainty.confidences == pytest.approx([0.5 + 19 / 2] * 4)  # the mean of 0.5, 1.5, ..., 19.5
            assert certainty.margins == pytest.approx([math.exp(-0.5) - math.exp(-1.5)] * 4)


def test_a_server_that_lists_fewer_tokens_is_asked_for_fewer_from_then_on():
    with serving(Kind(max_likeliest=5)) as server, engine_over(server) as engine:
        root = opened(engine)
        drafts = [Draft(root, WARM, seed, 100, is_to_end=True, has_certainty=True) for seed in range(2)]
        assert all(drafted.steps[0].certainty is not None for drafted in run(engine, drafts[:1]))
        run(engine, drafts[1:])
        assert [post["logprobs"] for post in server.posts] == [20, 5, 5]
        assert sum("asked for 5" in warning for warning in engine.warnings) == 1


@pytest.mark.parametrize(
    "kind",
    [Kind(has_likeliest=False), Kind(max_likeliest=1), Kind(refused=("logprobs",))],
    ids=["lists", "many", "any"],
)
def test_a_server_that_lists_no_likeliest_tokens_leaves_certainty_unknown_and_that_is_said_once(kind):
    with serving(kind) as server, engine_over(server) as engine:
        root = opened(engine)
        drafts = [Draft(root, WARM, seed, 100, is_to_end=True, has_certainty=True) for seed in range(3)]
        assert all(step.certainty is None for drafted in run(engine, drafts) for step in drafted.steps)
        assert sum("how sure the solver was" in warning for warning in engine.warnings) == 1


def test_a_written_text_is_told_as_sure_as_the_rest_of_the_draft_is_in_the_mean():
    with serving() as server, engine_over(server) as engine:
        forcing = Forcing(extension="\n\nWait, what?", num_extensions=1)
        [drafted] = run(
            engine, [Draft(opened(engine), WARM, 3, 200, is_to_end=True, forcing=forcing, has_certainty=True)]
        )
        last = drafted.steps[-1].certainty
        assert last.logprobs == (0.0, 0.0, 0.0, 0.0, -0.5)  # "Wait" "," " what" "?" and the end of turn
        assert last.confidences == pytest.approx([10.0] * 5)


def test_tokens_without_figures_of_their_own_stand_in_the_mean_of_the_others():
    sure, unsure, mean = (0.1, 0.9, 12.0), (0.3, 0.5, 8.0), (0.2, 0.7, 10.0)
    tokens = (Token("a", -0.1, sure), Token(" b", -0.7, unsure))
    [step] = Written("a b", tokens, 2).steps(DELIMITER, "stop", mean)  # an end of turn that is not listed
    assert step.certainty.logprobs == (-0.1, -0.7, 0.0)
    assert step.certainty.confidences == (12.0, 8.0, 10.0)
    [step] = Written("a b", None, 3, -0.8).steps(DELIMITER, "stop", mean)  # tokens that do not make up the text
    assert step.certainty.confidences == (10.0, 10.0, 10.0)
    assert sum(step.certainty.logprobs) == pytest.approx(-0.8)


def test_a_blank_ending_keeps_the_certainty_of_the_step_that_it_is_folded_into():
    with serving() as server, engine_over(server) as engine:
        [first] = run(engine, [Draft(opened(engine), WARM, 3, 100, has_certainty=True)])
        end = {"choices": [{"text": "", "finish_reason": "stop", "logprobs": {"tokens": [], "token_logprobs": []}}]}
        end["choices"][0]["stop_reason"] = None  # the end of turn
        server.faults = [lambda handler: handler.send(200, end)]
        [ended] = run(engine, [Draft(first.beam, WARM, 3, 100, has_certainty=True)])
        [step] = ended.beam.steps
        assert (step.finish, step.num_folded) == ("stop", 1)
        assert step.certainty.confidences == pytest.approx([10.0] * len(step.token_ids))


def test_certainty_of_a_step_that_was_drawn_with_others_is_its_own_tokens():
    """What was drawn beyond a step keeps its figures for the child that begins with it."""
    kind = Kind(has_stop_reason=False)
    with serving(kind) as server, engine_over(server, piece_tokens=100) as engine:
        engine._tells_stop = False
        [first] = run(engine, [Draft(opened(engine), WARM, 3, 100, has_certainty=True)])
        [second] = run(engine, [Draft(first.beam, WARM, 3, 100, has_certainty=True)])
        [third] = run(engine, [Draft(second.beam, WARM, 3, 100)])
        assert len(server.posts) == 1
        assert [len(step.certainty.margins) for step in second.beam.steps] == [4, 4]
        assert third.steps[0].certainty is None


@pytest.mark.parametrize(
    ("likeliest", "expected"),
    [
        ([math.log(0.5), math.log(0.5)], (math.log(2), 0.0, math.log(2))),
        ([math.log(0.25), math.log(0.5)], (1.5 * math.log(2), 0.25, 1.5 * math.log(2))),  # a quarter is not listed
        ([0.0, -9999.0], (0.0, 1.0, 4999.5)),
        (
            [float("nan"), -math.inf, -(10**400), None, "x", True, math.log(0.5), math.log(0.5)],
            (math.log(2), 0.0, math.log(2)),
        ),
        ([-0.1], None),
        ([], None),
    ],
)
def test_sureness_is_read_from_the_likeliest_tokens(likeliest, expected):
    assert sureness(likeliest) == (expected if expected is None else pytest.approx(expected))


@given(st.lists(st.floats(-8, 8), min_size=2, max_size=60))
def test_sureness_is_that_of_the_whole_distribution_and_its_entropy_never_more(logits):
    exact = whole_sureness(np.array([logits], np.float32))
    log_total = np.logaddexp.reduce(logits)
    entropy, margin, confidence = sureness([logit - log_total for logit in logits])
    assert entropy <= exact[0][0] + 1e-4
    assert (margin, confidence) == pytest.approx((exact[1][0], exact[2][0]), abs=1e-4)
    if len(logits) <= 20:
        assert entropy == pytest.approx(exact[0][0], abs=1e-4)


# -- modes and templates -----------------------------------------------------------------------------------------------


def test_the_chat_api_draws_whole_solutions_with_the_turns_as_messages():
    with serving() as server, engine_over(server, mode="chat") as engine:
        prompt = Prompt(PROBLEM, system="Think.")
        engine.open(prompt)
        [drafted] = run(engine, [Draft(Beam(prompt), GREEDY, 0, 100, is_to_end=True)])
        assert [turn["role"] for turn in server.posts[0]["messages"]] == ["system", "user"]
        assert server.requests[-1][0] == "/v1/chat/completions"
        assert drafted.beam.finish == "stop"
        assert len(drafted.steps) == 3
        assert drafted.beam.num_tokens == 16


def test_the_chat_api_shows_earlier_attempts_as_the_assistants_messages():
    with serving() as server, engine_over(server, mode="chat") as engine:
        prompt = Prompt(PROBLEM, attempts=("It is 5.<|im_end|>", "It is 4."))
        engine.open(prompt)
        run(engine, [Draft(Beam(prompt), GREEDY, 0, 100, is_to_end=True)])
        messages = server.posts[0]["messages"]
        assert [turn["role"] for turn in messages] == ["user", "assistant", "user", "assistant", "user"]
        assert [turn["content"] for turn in messages[1::2]] == list(prompt.attempts)
        assert [turn["content"] for turn in messages[2::2]] == [ASK_AGAIN, ASK_AGAIN]


def test_the_completions_api_shows_earlier_attempts_as_the_template_has_it():
    template = ChatTemplate(TEMPLATES["chatml"], {})
    with serving() as server, engine_over(server, template=template) as engine:
        prompt = Prompt("How many?", attempts=("It is 5.",))
        engine.open(prompt)
        run(engine, [Draft(Beam(prompt), GREEDY, 0, 100, is_to_end=True)])
        turns = [("user", "How many?"), ("assistant", "It is 5."), ("user", ASK_AGAIN)]
        said = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
        assert server.posts[0]["prompt"] == said + "<|im_start|>assistant\n"


def test_a_control_token_in_an_earlier_attempt_is_warned_of_where_the_server_reads_the_text():
    template = ChatTemplate(TEMPLATES["chatml"], {})
    with serving() as server, engine_over(server, template=template) as engine:
        engine.open(Prompt(PROBLEM, attempts=("It is 5.",)))
        assert not any("control token" in warning for warning in engine.warnings)
        engine.open(Prompt(PROBLEM, attempts=("It is 5.<|im_end|>",)))
        assert any("an earlier attempt spells out" in warning for warning in engine.warnings)


def test_the_chat_api_refuses_to_continue_a_solution_and_says_what_does():
    with serving() as server, engine_over(server, mode="chat") as engine:
        draft = Draft(opened(engine), GREEDY, 0, 100)
        with pytest.raises(UsageError, match="majority or best_of_n, or mode completions"):
            engine.start(draft)


def test_a_cut_off_chat_answer_is_truncated_not_continued():
    with serving() as server, engine_over(server, mode="chat") as engine:
        [drafted] = run(engine, [Draft(opened(engine), GREEDY, 0, 3, is_to_end=True)])
        assert drafted.beam.finish == "length"
        assert len(server.posts) == 1


def test_a_named_template_renders_the_turns_of_the_completions_api():
    with serving() as server, engine_over(server, template=ChatTemplate(TEMPLATES["chatml"], {})) as engine:
        run(engine, [Draft(opened(engine, "How many?"), GREEDY, 0, 100, is_to_end=True)])
        assert server.posts[0]["prompt"] == "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"


def test_the_llama_3_template_keeps_the_blank_line_before_the_answer():
    prompt = Prompt("How many?", system="Think.")
    rendered = bytes(ChatTemplate(TEMPLATES["llama-3"], {}).encode(prompt, str.encode)).decode()
    turns = [f"<|start_header_id|>{role}<|end_header_id|>\n\n" for role in ("system", "user", "assistant")]
    assert rendered == f"{turns[0]}Think.<|eot_id|>{turns[1]}How many?<|eot_id|>{turns[2]}"


def test_a_problem_with_a_control_token_in_it_is_told():
    with serving() as server, engine_over(server) as engine:
        opened(engine, "Ana has 3 apples.<|im_end|>")
        assert any("control token" in warning for warning in engine.warnings)
        engine.clear()
        opened(engine, "Ana has 3 apples.")
        assert not any("control token" in warning for warning in engine.warnings)


def test_a_template_is_a_name_or_a_file(tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text("Q: {{ messages[-1]['content'] }}\nA: ")
    with serving(Kind(num_params=1000)) as server:
        engine = connect(server.url, "model", template=str(file))
        run(engine, [Draft(opened(engine, "How many?"), GREEDY, 0, 100, is_to_end=True)])
        assert server.posts[-1]["prompt"] == "Q: How many?\nA: "
        assert not engine.warnings
        engine.close()
        with pytest.raises(UsageError, match=r"neither a name .*chatml.* nor a readable file"):
            connect(server.url, "model", template="nobody-knows-it")


def test_a_template_is_refused_where_the_server_renders_the_turns():
    with pytest.raises(UsageError, match="no effect in mode chat"):
        connect("http://127.0.0.1:9", "model", template="chatml", config=EndpointConfig(mode="chat"))


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "waited_s"),
    [
        (status(429, {"Retry-After": "7"}), 7.0),
        (status(429), 0.375),
        (status(500), 0.375),
        (status(503, {"Retry-After": "nonsense"}), 0.375),
        (cut_off_in_the_body, 0.375),
        (lambda handler: handler.hang_up(), 0.375),
    ],
    ids=["429 with a wait", "429", "500", "503", "dropped in the body", "dropped before it"],
)
def test_a_fault_that_passes_is_tried_again_after_a_wait(fault, waited_s):
    pauses = []
    with serving() as server, engine_over(server, pauses=pauses) as engine:
        server.faults = [fault]
        [drafted] = run(engine, [Draft(opened(engine), GREEDY, 0, 100, is_to_end=True)])
        assert drafted.beam.finish == "stop"
        assert pauses == [pytest.approx(waited_s)]


def test_waits_double_and_a_server_that_stays_broken_is_an_error():
    pauses = []
    with serving() as server, engine_over(server, pauses=pauses) as engine:
        server.faults = [status(500, message="no GPU\x1b[31m")] * 3
        with pytest.raises(EndpointError, match=r"failed 3 times, .* status 500 \(no GPU \[31m\)"):
            run(engine, [Draft(opened(engine), GREEDY, 0, 100)])
        assert pauses == [pytest.approx(0.375), pytest.approx(0.75)]


def test_a_wait_that_would_outlast_the_deadline_is_not_begun_and_the_draft_ends_with_it():
    pauses = []
    with serving() as server, engine_over(server, pauses=pauses) as engine:
        root = opened(engine)
        server.faults = [status(429, {"Retry-After": "3600"})]
        draft = Draft(root, GREEDY, 0, 100)
        engine.start(draft)
        deadline = Budget(60).start()
        while not engine._stalled:
            assert engine.advance(deadline) == []
        assert engine.advance(deadline) == []
        assert len(server.posts) == 1
        assert not pauses
        assert any("no time left to ask again" in warning for warning in engine.warnings)
        [cut] = engine.cancel([draft.id])
        assert cut.steps == ()


def test_a_draft_that_had_no_time_under_one_deadline_goes_on_under_a_later_one():
    with serving() as server, engine_over(server) as engine:
        root = opened(engine)
        server.faults = [status(429, {"Retry-After": "100"})]
        engine.start(Draft(root, GREEDY, 0, 100))
        while not engine._stalled:
            engine.advance(Budget(60).start())
        done = []
        while not done:
            done = engine.advance(Budget(600).start())
        assert done[0].beam.finish == "step"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(401), "--api-key-env"),
        (status(403), "ask for access"),
        (status(404), "model's name"),
        (status(400, message="bad <\x00> thing"), r"bad < > thing"),
        (status(418), "server's log"),
        (lambda handler: handler.send(429, {"error": {"code": "insufficient_quota"}}), "no credit"),
        (lambda handler: handler.send(200, b"<html>hello"), "not JSON.*html"),
        (lambda handler: handler.send(200, b"[" * 100_000), "not JSON"),
        (lambda handler: handler.send(200, {"hello": 1}), "without a list of choices"),
        (lambda handler: handler.send(200, {"choices": [{"text": 5}]}), "no text"),
        (
            lambda handler: handler.send(302, b"", {"Location": "http://user:pw@evil.example/v1?key=1"}),
            "to evil.exampl",
        ),
    ],
)
def test_a_fault_that_stays_is_an_error_at_once_with_what_to_do(fault, message):
    with serving() as server, engine_over(server) as engine:
        server.faults = [fault]
        with pytest.raises(EndpointError, match=message) as caught:
            run(engine, [Draft(opened(engine), GREEDY, 0, 100)])
        assert len(server.posts) == 1
        assert caught.value.exit_code == 9
        assert "pw" not in str(caught.value)
        engine.clear()


def client_over(server, **options):
    config = HttpConfig(**{"timeout_s": 5, "max_attempts": 2, "max_body_bytes": 1000} | options.pop("config", {}))
    return HttpClient(parse_url(server.url), config=config, pause=lambda *_: None, **options)


def raised(client, match, call=None):
    with pytest.raises(EndpointError, match=match):
        client.post("/completions", {}, call or Call())
    client.close()


def test_a_server_that_never_answers_times_out():
    with serving() as server:
        held = threading.Event()
        server.faults = [lambda _handler: held.wait(10)] * 2
        raised(client_over(server, config={"timeout_s": 0.05}), "no answer came within 0.05 s")
        held.set()


def endless(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 10)


def test_a_body_of_unknown_length_is_read_up_to_the_limit():
    with serving() as server:
        server.faults = [endless]
        raised(client_over(server), "more than 1000 bytes")


def test_a_body_that_says_it_is_too_long_is_not_read():
    with serving() as server:
        server.faults = [lambda handler: handler.send(200, b"x" * 1001)]
        raised(client_over(server), "more than 1000 bytes")


def test_a_slow_drip_of_bytes_does_not_outlast_the_timeout():
    """Each look at this clock takes a second, and bytes never stop coming."""
    seconds = iter(range(10**6))
    with serving() as server:
        server.faults = [endless] * 2
        config = {"timeout_s": 50, "max_body_bytes": 1 << 40}
        raised(client_over(server, config=config, clock=lambda: float(next(seconds))), "within 50 s")


def test_a_slow_drip_of_headers_does_not_either():
    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            handler.wfile.write(b"X-More: 1\r\n")

    seconds = iter(range(10**6))
    with serving() as server:
        server.faults = [drip] * 2
        raised(client_over(server, clock=lambda: float(next(seconds))), "within 5 s|broke")


def test_a_cancelled_call_ends_at_once_and_hangs_up():
    with serving() as server:
        server.gate = threading.Event()
        client, call, ended = client_over(server), Call(), []

        def ask():
            try:
                client.post("/completions", {"prompt": "a", "max_tokens": 3, "seed": 1, "temperature": 0}, call)
            except OutOfTime:
                ended.append("out of time")

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.posts:
            time.sleep(0.001)
        call.cancel()
        thread.join(10)
        assert ended == ["out of time"]
        client.close()


def test_connections_are_used_again_and_replaced_when_the_server_closed_them():
    with serving() as server:
        client = client_over(server)
        for _ in range(3):
            client.get("/models", Call())
        assert len({headers["Host"] for _, headers, _ in server.requests}) == 1
        [connection] = client._idle
        connection.channel.interrupt()
        client.get("/models", Call())
        assert client._idle != [connection]
        client.close()


def test_the_key_is_sent_as_a_bearer_token_and_shown_in_no_message(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret-1")
    with serving() as server:
        server.faults = [status(401, message="Incorrect API key provided: sk-secret-1")]
        with pytest.raises(Refused, match=r"provided: \*\*\*") as caught:
            connect(server.url, "model", api_key_env="MY_KEY")
        assert server.requests[-1][1]["Authorization"] == "Bearer sk-secret-1"
        assert "secret" not in repr(caught.value)


@pytest.mark.parametrize("value", [None, "", "two words", "line\nbreak"])
def test_a_key_that_is_missing_or_unusable_is_an_error_before_anything_is_sent(monkeypatch, value):
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(EndpointError, match="MY_KEY"):
        connect("http://127.0.0.1:9", "model", api_key_env="MY_KEY")


def test_a_key_given_instead_of_a_variable_s_name_is_not_repeated():
    with pytest.raises(UsageError) as caught:
        connect("http://127.0.0.1:9", "model", api_key_env="sk-secret-1")
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_an_error():
    with serving() as server:
        url = server.url
    with pytest.raises(EndpointError, match="look whether the server runs"):
        loading.load_endpoint(url, "model")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/v1", "file:///etc/passwd", "localhost:8000", "http://", "http://user:pw@host/v1", "http://h/v1?a=1",
        "http://h/v1#a", "http://h:99999/", "http://a b/", "http://h/\nHost: x", "http://[::1", "http://h\u00e9/",
        "http://" + "a" * 64 + ".example", "",
    ],
)  # fmt: skip
def test_only_plain_http_urls_are_taken_and_credentials_in_them_are_not_repeated(url):
    with pytest.raises(UsageError) as caught:
        parse_url(url)
    assert "pw" not in str(caught.value)


def test_a_url_without_a_path_is_that_of_version_1():
    assert str(parse_url("http://localhost:8000")) == "http://localhost:8000/v1"
    assert str(parse_url("https://api.example.com/openai/v1/")) == "https://api.example.com/openai/v1"
    assert str(parse_url("http://[::1]:8000/v1")) == "http://[::1]:8000/v1"


@pytest.mark.parametrize(
    "options",
    [{"mode": "stream"}, {"concurrency": 0}, {"concurrency": 1025}, {"max_n": 5000}, {"piece_tokens": 0},
     {"choices_per_request": 0}, {"num_params": -1}],
)  # fmt: skip
def test_a_setting_out_of_its_range_is_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        EndpointConfig(**options)


# -- what is understood ------------------------------------------------------------------------------------------------


def test_numbers_that_cannot_be_are_taken_as_not_told():
    usage = {"prompt_tokens": -1, "completion_tokens": True, "prompt_tokens_details": {"cached_tokens": 1e9}}
    choice = {"text": "a", "finish_reason": "stop", "logprobs": {"tokens": ["a"], "token_logprobs": [float("nan")]}}
    reply = parse_reply(json.loads(json.dumps({"choices": [choice], "usage": usage})), "completions")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens) == (None, None, None)
    assert reply.choices[0].tokens is None


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("ab", ["a", "b"], ["a", "b"]),
        ("ab", ["a", "b", "<end>"], ["a", "b", ""]),
        ("ab", ["a"], None),
        ("\u20ac", ["\ufffd", "\ufffd"], None),
        ("", ["<end>"], [""]),
    ],
)
def test_listed_tokens_are_used_where_they_make_up_the_text(text, tokens, expected):
    found = aligned(text, tuple(Token(token, -1.0) for token in tokens))
    assert expected == (None if found is None else [token.text for token in found])


def test_a_blank_ending_is_folded_and_blank_heads_are_no_steps():
    written = Written("\n\none\n\n", None, 4, -2.0)
    [step] = written.steps(DELIMITER, "step")
    assert (step.text, step.finish, len(step.token_ids), step.logprob) == ("\n\none\n\n", "step", 4, -2.0)
    beam = Beam(Prompt("p")).grown((step,)).grown(Written("", None, 1, 0.0).steps(DELIMITER, "stop"))
    assert len(beam.steps) == 1
    assert (beam.finish, beam.num_tokens) == ("stop", 5)


def test_equal_texts_have_equal_ids_and_others_do_not():
    one, same, other = (Written(text, None, 3).steps(DELIMITER, "stop") for text in ("a b", "a b", "a c"))
    assert one[0].token_ids == same[0].token_ids != other[0].token_ids


# -- whole searches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [VLLM, BARE], ids=["vllm", "bare"])
@pytest.mark.parametrize("mode", ["completions", "chat"])
def test_sampling_strategies_answer_through_an_endpoint(kind, mode):
    with (
        serving(kind) as server,
        loading.load_endpoint(server.url, "model", verifier="consensus", mode=mode) as loaded,
    ):
        solution = loaded.solve("How many?", budget_s=60, strategy="majority", n=8)
        assert solution.answer is not None
        assert len(solution.candidates) == 8
        assert solution.models.solver == "model"
        assert solution.models.solver_device == "endpoint"
        assert solution.usage.decoded_tokens == 8 * 16
        assert solution.usage.prompt_tokens >= 4


@pytest.mark.parametrize(
    ("kind", "num_params", "counted"),
    [(VLLM, 8_000_000_000, 8_000_000_000), (Kind(num_params=1000), None, 1000), (Kind(num_params=1000), 7, 7)],
    ids=["told by the user", "told by the server", "told by both"],
)
def test_flops_are_two_for_each_parameter_and_token_that_was_read_or_drawn(kind, num_params, counted):
    with serving(kind) as server, loading.load_endpoint(server.url, "model", num_params=num_params) as loaded:
        solution = loaded.solve("How many?", budget_s=60, strategy="greedy")
        usage = solution.usage
        assert usage.prefilled_tokens > 5
        assert usage.solver_flops == 2.0 * counted * (usage.prefilled_tokens + usage.decoded_tokens)
        assert not any("FLOPs" in warning for warning in solution.warnings)


def test_flops_that_nobody_can_count_are_said_to_be_missing():
    with serving() as server, loading.load_endpoint(server.url, "model") as loaded:
        solution = loaded.solve("How many?", budget_s=60, strategy="greedy")
        assert solution.usage.solver_flops == 0
        assert any("FLOPs are counted as 0" in warning for warning in solution.warnings)


def test_samples_share_requests_where_asked_for():
    with (
        serving() as server,
        loading.load_endpoint(server.url, "model", choices_per_request=8, verifier="consensus") as loaded,
    ):
        asked = len(server.posts)
        solution = loaded.solve("How many?", budget_s=60, strategy="majority", n=16)
        assert len(solution.candidates) == 16
        assert [post["n"] for post in server.posts[asked:]] == [8, 8]
        assert solution.usage.decoded_tokens == 16 * 16


def test_an_endpoint_that_answers_nothing_in_time_is_unanswered_not_an_error():
    with serving() as server, loading.load_endpoint(server.url, "model") as loaded:
        server.gate = threading.Event()
        solution = loaded.solve("How many?", budget_s=0.2, strategy="greedy")
        assert solution.answer is None
        assert solution.finish == "deadline"


def test_a_verifier_that_reads_token_ids_needs_a_local_file_of_the_model():
    with pytest.raises(UsageError, match="local GGUF of the same model"):
        loading.load_endpoint("http://127.0.0.1:9", "model", verifier="nano-prm")


# -- a real server -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def problems():
    from edgesearch.tasks.arithmetic import held_out

    return [sample.problem for sample in held_out(seed=0, count=5)]


@pytest.mark.filterwarnings("ignore")
def test_greedy_through_a_real_server_is_greedy_in_this_process(real_url, problems):
    with loading.load_endpoint(real_url, "nano", like="nano") as remote, loading.load("nano", "none") as local:
        for problem in problems:
            here = local.solve(problem, budget_s=60, strategy="greedy")
            there = remote.solve(problem, budget_s=60, strategy="greedy")
            assert (there.text, there.answer, there.finish) == (here.text, here.answer, here.finish)
            ids = [[step.token_ids for step in s.candidates[0].beam.steps] for s in (there, here)]
            assert ids[0] == ids[1]
            assert there.usage.prompt_tokens == here.usage.prompt_tokens


@pytest.mark.filterwarnings("ignore")
def test_votes_and_search_with_the_built_in_verifier_work_through_a_real_server(real_url, problems):
    with loading.load_endpoint(real_url, "nano", like="nano", verifier="auto", check=False) as loaded:
        for strategy in ("majority", "best_of_n", "beam"):
            solution = loaded.solve(problems[0], budget_s=60, strategy=strategy, n=4, m=2)
            assert solution.answer is not None
            assert solution.finish == "stop"
            assert bool(solution.scores) == (strategy != "majority")


@pytest.mark.filterwarnings("ignore")
def test_certainty_through_a_real_server_is_that_of_this_process(real_url, problems):
    """But for rounding, and the end of turn, which this server does not list."""
    with (
        loading.load_endpoint(real_url, "nano-telling", like="nano") as remote,
        loading.load("nano", "none") as local,
    ):
        for problem in problems:
            here, there = (
                loaded.solve(problem, budget_s=60, strategy="deepconf", n=1, temperature=0.0).candidates[0].beam.steps
                for loaded in (local, remote)
            )
            for mine, told in zip(here, there, strict=True):
                size = len(mine.token_ids) - (mine.finish == "stop")
                for name, within in (("logprobs", 0.05), ("margins", 0.05), ("entropies", 0.1), ("confidences", 0.5)):
                    figures = [getattr(step.certainty, name)[:size] for step in (mine, told)]
                    assert figures[0] == pytest.approx(figures[1], abs=within)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("beam", {"granularity": 2}),
        ("budget_forcing", {"extensions": 2}),
        ("deepconf", {}),
        ("deepconf_online", {}),
        ("revision", {"length": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_other_ways_to_search_work_through_a_real_server(real_url, problems, strategy, options):
    with loading.load_endpoint(real_url, "nano-telling", like="nano", verifier="auto", check=False) as loaded:
        solution = loaded.solve(problems[0], budget_s=60, strategy=strategy, options=options, n=4, m=2)
        assert solution.answer is not None
        assert len(solution.candidates) == 4
        texts = [candidate.beam.text for candidate in solution.candidates]
        if strategy == "budget_forcing":
            assert [text.count("\n\nWait") for text in texts] == [2] * 4
        if strategy.startswith("deepconf"):
            assert max(candidate.weight for candidate in solution.candidates) > 0
