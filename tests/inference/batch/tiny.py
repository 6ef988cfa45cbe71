"""Tiny models of the real classes, written in their real file formats, with weights of a seed."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    VitsConfig,
    VitsModel,
    VitsTokenizer,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def qwen3_config(**changes: Any) -> Qwen3Config:
    return Qwen3Config(
        **{
            "vocab_size": 256 + len(SPECIAL),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "eos_token_id": 258,
            "pad_token_id": 256,
            **changes,
        }
    )


def qwen3(folder: Path) -> Path:
    """A causal language model that was taught nothing, with a tokenizer of bytes."""
    torch.manual_seed(3)
    model = Qwen3ForCausalLM(qwen3_config())
    # Else its scores hardly depend on what it reads.
    for parameter in model.parameters():
        parameter.data *= 4
    model.save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({letter: n for n, letter in enumerate(alphabet)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    return folder


def vits(folder: Path) -> Path:
    """A synthesizer of noises, at 16 kHz like MMS-TTS."""
    torch.manual_seed(5)
    letters = "_ abcdefghijklmnopqrstuvwxyz'"
    config = VitsConfig(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=32,
        flow_size=16,
        spectrogram_bins=33,
        prior_encoder_num_wavenet_layers=2,
        posterior_encoder_num_wavenet_layers=2,
        duration_predictor_num_flows=2,
        duration_predictor_flow_bins=4,
        depth_separable_num_layers=2,
        upsample_initial_channel=32,
        upsample_rates=[8, 8, 4],
        upsample_kernel_sizes=[16, 16, 8],
        sampling_rate=16_000,
    )
    VitsModel(config).save_pretrained(folder)
    vocabulary = folder / "letters.json"
    vocabulary.write_text(json.dumps({letter: n for n, letter in enumerate(letters)}))
    tokenizer = VitsTokenizer(
        str(vocabulary), pad_token="_", unk_token="_", add_blank=True, phonemize=False
    )
    tokenizer.save_pretrained(folder)
    return folder


def whisper(folder: Path) -> Path:
    """A recogniser of whatever comes to its mind, with Whisper's special tokens."""
    torch.manual_seed(9)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]
    numbers = {token: 256 + n for n, token in enumerate(special)}
    tokenizer = WhisperTokenizer(
        vocab={letter: n for n, letter in enumerate(alphabet)} | numbers,
        merges=[],
        unk_token="<|endoftext|>",
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
    )
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    start = numbers["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=256 + len(special),
        num_mel_bins=80,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=64,
        pad_token_id=256,
        bos_token_id=256,
        eos_token_id=256,
        decoder_start_token_id=start,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    for parameter in model.parameters():
        parameter.data *= 6  # so that the words depend on the sound
    model.generation_config.update(is_multilingual=False, no_timestamps_token_id=260)
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder
