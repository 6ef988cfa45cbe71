"""inference.batch.decoder: many at once, in chunks and steps, write what each alone would."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3ForCausalLM

from inference.batch.decoder import Decoder, Prompt, Writing
from tests.inference.batch.tiny import qwen3_config

LIMIT = 12
NEVER = frozenset[int]()


def llama() -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config)


def qwen3() -> PreTrainedModel:
    return Qwen3ForCausalLM(qwen3_config())


def sliding() -> PreTrainedModel:
    kinds = ["full_attention", "sliding_attention"]
    return Qwen3ForCausalLM(
        qwen3_config(use_sliding_window=True, sliding_window=6, layer_types=kinds)
    )


@pytest.fixture(params=[llama, qwen3, sliding], ids=["llama", "qwen3", "sliding"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    torch.manual_seed(7)
    made: PreTrainedModel = request.param().eval()
    for parameter in made.parameters():
        parameter.data *= 4  # so that what is written depends on what was read
    return made


def prompts(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    return [
        torch.randint(5, 95, (int(length),), generator=generator)
        for length in torch.randint(1, 30, (count,), generator=generator)
    ]


def alone(model: PreTrainedModel, prompt: torch.Tensor, limit: int = LIMIT) -> list[int]:
    """What transformers' own loop writes."""
    config = model.generation_config
    config.eos_token_id = None
    written = model.generate(prompt[None], max_new_tokens=limit, do_sample=False, pad_token_id=0)
    return [int(token) for token in written[0, len(prompt) :]]


def run(decoder: Decoder, waiting: list[tuple[torch.Tensor, int]]) -> list[list[int]]:
    """Each prompt takes a slot as soon as one is free; what was written, in their order."""
    written: list[list[int]] = [[] for _ in waiting]
    owners: dict[int, int] = {}
    queue = list(range(len(waiting)))
    while queue or owners:
        free = [slot for slot in range(decoder.slots) if slot not in owners]
        for slot in free[: 1 if queue else 0]:  # one comes each step: all are at other places
            number = queue.pop(0)
            owners[slot] = number
            prompt, limit = waiting[number]
            decoder.enter(slot, Writing(limit, NEVER))
            decoder.feed(slot, Prompt(prompt))
        steps = decoder.step()
        assert steps is not None
        for stepped in steps:
            written[owners[stepped.slot]] += stepped.outputs
            if stepped.done:
                decoder.leave(stepped.slot)
                del owners[stepped.slot]
    assert decoder.step() is None
    return written


@pytest.mark.parametrize(("slots", "chunk"), [(1, 256), (3, 4), (8, 7)])
def test_each_writes_what_it_would_alone(model: PreTrainedModel, slots: int, chunk: int) -> None:
    given = prompts(7)
    limits = [LIMIT - n for n in range(7)]
    decoder = Decoder(model, slots=slots, length=48, chunk=chunk)
    written = run(decoder, list(zip(given, limits, strict=True)))
    expected = [alone(model, prompt, limit) for prompt, limit in zip(given, limits, strict=True)]
    assert written == expected
    assert len({tuple(tokens[:3]) for tokens in expected}) > 3  # it does depend on the prompt


def test_a_prompt_in_pieces_is_the_prompt(model: PreTrainedModel) -> None:
    prompt = prompts(1)[0].repeat(2)[:20]
    embedded = model.get_input_embeddings()(prompt[8:15]).detach()
    decoder = Decoder(model, slots=2, length=48, chunk=3)
    decoder.enter(0, Writing(LIMIT, NEVER))
    tokens: list[int] = []
    pieces = (prompt[:8], embedded, prompt[15:], prompt[:0])
    for number, piece in enumerate(pieces):
        decoder.feed(0, Prompt(piece, last=number == 3))
        while (steps := decoder.step()) is not None and number < 3:
            assert not steps
        for stepped in steps or ():
            tokens += stepped.outputs
    while len(tokens) < LIMIT:
        tokens += (decoder.step() or [])[0].outputs
    assert tokens == alone(model, prompt)


def test_a_slot_keeps_nothing_of_its_last_job(model: PreTrainedModel) -> None:
    first, second = prompts(2)
    decoder = Decoder(model, slots=1, length=48)
    decoder.enter(0, Writing(LIMIT, NEVER))
    decoder.feed(0, Prompt(first))
    decoder.step()
    decoder.step()
    decoder.leave(0)
    assert decoder.step() is None
    assert run(decoder, [(second, LIMIT)]) == [alone(model, second)]


def test_a_stop_token_ends_it_and_is_not_given(model: PreTrainedModel) -> None:
    prompt = prompts(1)[0]
    expected = alone(model, prompt)
    stop = next(token for token in expected[1:] if token != expected[0])
    decoder = Decoder(model, slots=1, length=48)
    decoder.enter(0, Writing(LIMIT, frozenset({stop})))
    decoder.feed(0, Prompt(prompt))
    written: list[int] = []
    done = False
    while not done:
        (stepped,) = decoder.step() or ()
        written += stepped.outputs
        done = stepped.done
    assert written == expected[: expected.index(stop)]


def test_a_long_prompt_delays_the_others_by_a_chunk(model: PreTrainedModel) -> None:
    decoder = Decoder(model, slots=2, length=60, chunk=4)
    decoder.enter(0, Writing(LIMIT, NEVER))
    decoder.feed(0, Prompt(torch.tensor([5, 6])))
    decoder.step()
    decoder.enter(1, Writing(LIMIT, NEVER))
    decoder.feed(1, Prompt(torch.arange(5, 45)))
    for _ in range(9):  # of the ten chunks
        assert [stepped.slot for stepped in decoder.step() or ()] == [0]
    assert {stepped.slot for stepped in decoder.step() or ()} == {0, 1}


def test_what_does_not_fit_is_refused(model: PreTrainedModel) -> None:
    decoder = Decoder(model, slots=1, length=20)
    decoder.enter(0, Writing(LIMIT, NEVER))
    with pytest.raises(ValueError, match="prompt of 9 tokens and an answer of 12 are more than"):
        decoder.feed(0, Prompt(torch.arange(9)))
    decoder.leave(0)
    decoder.enter(0, Writing(LIMIT, NEVER))
    with pytest.raises(ValueError, match="empty"):
        decoder.feed(0, Prompt(torch.arange(0)))
