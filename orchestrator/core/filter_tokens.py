"""A filter as its author wrote it, token by token: slips that the parser would mend in silence, and a text for EXPLAIN.

The parser is lenient: it takes `coalesce(price, )`, or a THEN or a parenthesis that is missing, for what was probably
meant. A filter decides who gets which rows, so nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from sqlglot.dialects import Postgres
from sqlglot.tokenizer_core import Token, TokenType

from orchestrator.core.filter_tree import FilterText

T = TokenType

# Token -> what must be innermost open before it -> what is innermost open after it; None: nothing, it is closed.
_FRAMES: dict[TokenType, tuple[set[TokenType], TokenType | None]] = {
    T.WHEN: ({T.CASE, T.THEN}, T.WHEN),
    T.THEN: ({T.WHEN}, T.THEN),
    T.ELSE: ({T.THEN}, T.ELSE),
    T.END: ({T.THEN, T.ELSE}, None),
    T.R_PAREN: ({T.L_PAREN}, None),
}
_BEFORE_NOTHING = {T.COMMA, T.L_PAREN, T.SELECT, T.DISTINCT, T.FROM}
_AFTER_NOTHING = {T.COMMA, T.R_PAREN, T.FROM, T.WHERE}
_MAY_BE_EMPTY = {(T.L_PAREN, T.R_PAREN), (T.SELECT, T.FROM), (T.DISTINCT, T.FROM), (T.L_PAREN, T.WHERE)}
_WORDS = {T.NOT, T.IS, T.IN, T.AND, T.OR, T.LIKE, T.ILIKE, T.BETWEEN}


def check_tokens(text: FilterText) -> None:
    """TS-201 at the first parenthesis or CASE that does not close, or comma, sign or string out of place."""
    tokens = Postgres().tokenize(text.text)
    _check_frames(tokens, text)
    kinds = [token.token_type for token in tokens]
    if kinds.count(T.JOIN) - kinds.count(T.CROSS) > kinds.count(T.ON):
        raise text.refusal("TS-201", tokens[kinds.index(T.JOIN)].start, "a JOIN without ON", "or write CROSS JOIN")
    if kinds[0] is T.PLUS:
        raise _unparsed(tokens[0], text)
    for before, after in pairwise(tokens):
        if _slip(before.token_type, after.token_type):
            raise _unparsed(after, text)


def as_written(text: str, parameters: Mapping[str, str]) -> str:
    """The text with a typed NULL for every parameter; its own line, since it may end in a comment."""
    made, done = [], 0
    for colon, name in pairwise(Postgres().tokenize(text)):
        if colon.token_type is T.COLON and name.text in parameters and name.start == colon.end + 1:
            made += [text[done : colon.start], f"CAST(NULL AS {parameters[name.text]})"]
            done = name.end + 1
    return "".join([*made, text[done:], "\n"])


def _check_frames(tokens: list[Token], text: FilterText) -> None:
    opened: list[Token] = []
    for token in tokens:
        kind = token.token_type
        if kind in (T.L_PAREN, T.CASE):
            opened.append(token)
        elif kind in _FRAMES:
            allowed, becomes = _FRAMES[kind]
            if not opened or opened.pop().token_type not in allowed:
                raise _unparsed(token, text)
            if becomes:
                opened.append(token)
    if opened:
        raise text.refusal("TS-201", opened[-1].start, f"'{opened[-1].text}' is not closed")


def _slip(before: TokenType, after: TokenType) -> bool:
    nothing_between = before in _BEFORE_NOTHING and after in _AFTER_NOTHING and (before, after) not in _MAY_BE_EMPTY
    two_strings = before is T.STRING and after is T.STRING
    word_at_end = before in _WORDS and after in (T.R_PAREN, T.COMMA)
    # A plus sign says nothing, and the parser drops it whatever stands behind.
    sign = after is T.PLUS and (before in _BEFORE_NOTHING | _WORDS or before in (T.WHERE, T.WHEN, T.THEN, T.ELSE))
    return nothing_between or two_strings or word_at_end or sign


def _unparsed(token: Token, text: FilterText) -> Exception:
    written = text.text[token.start : token.end + 1]
    return text.refusal(
        "TS-201", token.start, f"it does not parse at '{written}'", "a filter is what would follow WHERE"
    )
