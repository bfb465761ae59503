"""Writes a tokenizer in which a byte is a token: aiperf wants one, and none should be downloaded for it.

Run by the interpreter of .venv/bench-llm, with the folder to write to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.save(str(folder / "tokenizer.json"))
config = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": 1_000_000,
    "eos_token": letters[0],
}
(folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
