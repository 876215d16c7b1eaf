"""TextReader: texts to token ids, cut where a network stops reading, from any thread."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Encoding, Tokenizer, normalizers

from sparse_ir.encoders.lookup import TermSpan, require_texts, term_spans
from sparse_ir.errors import InvalidInputError

Span = tuple[int, int]
"""(first character, behind the last one)."""


class TextReader:
    """Tokenises texts for a network; safe to share between threads.

    Where a tokenizer cuts is a state of it, which another thread might change: so there are two of
    them, one that cuts and one that does not, and neither is the one that was given.

    Args:
        tokenizer: With the special tokens that the network expects; is copied.
        max_length: Tokens read of a text, special ones and the prompt's included.
        prompt: Put before every text.
        lower_case: Whether texts are lower-cased first, the prompt too.
        cut_side: ``right``, or ``left`` where texts lose their beginnings.

    Raises:
        InvalidInputError: the prompt and special tokens leave no room for a text.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_length: int,
        *,
        prompt: str = "",
        lower_case: bool = False,
        cut_side: str = "right",
    ) -> None:
        self._whole = _copy(tokenizer)
        self._whole.no_truncation()
        self._whole.no_padding()
        if lower_case:  # by the tokenizer, so that spans are of the text as it came
            own = [self._whole.normalizer] if self._whole.normalizer else []
            self._whole.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
        self._cutting = _copy(self._whole)
        self._cutting.enable_truncation(max_length, direction=cut_side)
        self._prompt = prompt
        self.n_cut = 0
        """Texts so far of which not all tokens were read."""
        taken = len(self._whole.encode(prompt).ids)
        if taken >= max_length:
            raise InvalidInputError(
                f"max_length is {max_length}, and special tokens and the prompt take {taken}; want "
                "more, for a text to be read"
            )
        self.room = max_length - taken
        """Tokens of a text that are read, special ones and the prompt's left out."""

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, with the prompt and special ones, cut.

        Raises:
            InvalidInputError: as ``require_texts``.
        """
        require_texts(texts)
        encoded = self._cutting.encode_batch_fast([self._prompt + text for text in texts])
        self.n_cut += sum(bool(one.overflowing) for one in encoded)
        return [one.ids for one in encoded]

    def read_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """(the ids that ``read`` gives, where in the text each token is).

        Tokens of the prompt are before the text, special ones nowhere: their spans are empty.
        """
        encoded, shift = self._cutting.encode(self._prompt + text), len(self._prompt)
        return encoded.ids, [(start - shift, end - shift) for start, end in encoded.offsets]

    def own_terms(self, text: str) -> set[int]:
        """The terms that the text contains."""
        return set(self._tokens(text).ids)

    def token_spans(self, text: str) -> list[Span]:
        """Where in the text each of its tokens begins and ends, special ones left out."""
        spans: list[Span] = self._tokens(text).offsets
        return spans

    def term_spans(self, text: str) -> list[TermSpan]:
        """Which terms the text contains, and the words that they are parts of."""
        return term_spans(self._tokens(text))

    def _tokens(self, text: str) -> Encoding:
        return self._whole.encode(text, add_special_tokens=False)


def _copy(tokenizer: Tokenizer) -> Tokenizer:
    return Tokenizer.from_str(tokenizer.to_str())
