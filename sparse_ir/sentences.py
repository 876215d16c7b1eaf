"""Where sentences end, by their punctuation: in Latin, Chinese and Japanese writing."""

from __future__ import annotations

import re

SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|[。！？]|\n\s*")
"""A sentence begins where a match ends. A line break ends one too, as after a heading."""

CLAUSE_END = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])(?=[^。！？；」』”’）])\s*")
"""What a text is split by where its sentences stand for queries: short ones are wanted, so it is
also split at semicolons; and a line may be broken in the middle of one."""
