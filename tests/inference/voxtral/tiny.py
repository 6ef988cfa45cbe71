"""A tiny Voxtral with weights of a seed, in its real files: safetensors, tekken.json, the rest."""

import base64
import json
from pathlib import Path

import torch
from transformers import (
    MistralCommonBackend,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
    WhisperFeatureExtractor,
)

SPECIAL = {
    0: "<unk>",
    1: "<s>",
    2: "</s>",
    3: "[INST]",
    4: "[/INST]",
    5: "[AVAILABLE_TOOLS]",
    6: "[/AVAILABLE_TOOLS]",
    7: "[TOOL_RESULTS]",
    8: "[/TOOL_RESULTS]",
    9: "[TOOL_CALLS]",
    10: "[IMG]",
    11: "<pad>",
    12: "[IMG_BREAK]",
    13: "[IMG_END]",
    14: "[PREFIX]",
    15: "[MIDDLE]",
    16: "[SUFFIX]",
    17: "[SYSTEM_PROMPT]",
    18: "[/SYSTEM_PROMPT]",
    19: "[TOOL_CONTENT]",
    24: "[AUDIO]",
    25: "[BEGIN_AUDIO]",
    32: "[ARGS]",
    33: "[CALL_ID]",
    34: "[TRANSCRIBE]",
}
SPECIALS = 64


def tekken(path: Path) -> Path:
    """A tokenizer of bytes in Mistral's format."""
    token = "<SPECIAL_{}>".format
    path.write_text(
        json.dumps(
            {
                "config": {
                    "pattern": r"[\s\S]",
                    "num_vocab_tokens": 256,
                    "default_vocab_size": 256 + SPECIALS,
                    "default_num_special_tokens": SPECIALS,
                    "version": "v13",
                },
                "vocab": [
                    {
                        "rank": n,
                        "token_bytes": base64.b64encode(bytes([n])).decode(),
                        "token_str": None,
                    }
                    for n in range(256)
                ],
                "special_tokens": [
                    {"rank": n, "token_str": SPECIAL.get(n, token(n)), "is_control": True}
                    for n in range(SPECIALS)
                ],
                "audio": {
                    "sampling_rate": 16_000,
                    "frame_rate": 12.5,
                    "audio_encoding_config": {
                        "num_mel_bins": 128,
                        "hop_length": 160,
                        "window_size": 400,
                    },
                    "chunk_length_s": 30.0,
                },
            }
        )
    )
    return path


def voxtral(folder: Path) -> Path:
    folder.mkdir()
    torch.manual_seed(13)
    config = VoxtralConfig(
        audio_config={
            "model_type": "voxtral_encoder",
            "hidden_size": 16,
            "intermediate_size": 64,  # four frames to an embedding
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": 256 + SPECIALS,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 4096,
        },
        audio_token_id=24,
    )
    model = VoxtralForConditionalGeneration(config)
    for parameter in model.parameters():
        parameter.data *= 4  # so that what is written depends on what was heard
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    tokenizer = MistralCommonBackend(tokenizer_path=str(tekken(folder / "tekken.json")))
    VoxtralProcessor(WhisperFeatureExtractor(feature_size=128), tokenizer).save_pretrained(folder)
    return folder
