"""Finding text in all chats: what a query means, which rows hold it, and where in them. Works on a connection.

Words are found by their beginnings in the full-text index; scripts written without spaces, signs and emoji as plain parts of a text.
Any text is a query: nothing typed is read as an operator.
"""

import re
import sqlite3
from typing import NamedTuple

from mlx_harmony.conversation.records import SearchHit

MOST_HITS = 50
MOST_TERMS = 16
LONGEST_QUERY = 1000
SNIPPET_WORDS = 24
AROUND = 60

_TERM = re.compile(r'"([^"]+)"|(\S+)')
_LETTER = re.compile(r"[^\W_]")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")

_COLUMNS = "d.chat_id, d.message_id, c.title, c.updated_at, m.role, COALESCE(m.content || m.attached, c.title) AS text"
_LIVE = "c.trashed_at IS NULL AND m.trash_id IS NULL"
_JOINS = "JOIN chats c ON c.id = d.chat_id LEFT JOIN messages m ON m.id = d.message_id"
_HOLDS = " AND COALESCE(m.content || m.attached, c.title) LIKE ? ESCAPE '\\'"
_BY_WORDS = f"""
SELECT {_COLUMNS}, snippet(words, 0, '{_OPEN}', '{_CLOSE}', '…', {SNIPPET_WORDS}) AS marked
  FROM words JOIN documents d ON d.number = words.rowid {_JOINS} WHERE words MATCH ? AND {_LIVE}"""  # noqa: S608
_BEST_FIRST = f" ORDER BY bm25(words) - 2 * (d.message_id IS NULL), c.updated_at DESC LIMIT {MOST_HITS}"
_BY_PARTS = f"SELECT {_COLUMNS} FROM documents d {_JOINS} WHERE {_LIVE}"  # noqa: S608
_NEWEST_FIRST = f" ORDER BY d.message_id IS NOT NULL, c.updated_at DESC, d.number DESC LIMIT {MOST_HITS}"


class Query(NamedTuple):
    """`words` is an expression of the index, "" for none; `parts` are texts that must be there as they are; `terms` all that was typed."""

    words: str
    parts: tuple[str, ...]
    terms: tuple[str, ...]


def find(db: sqlite3.Connection, text: str) -> tuple[SearchHit, ...]:
    """What holds every term of the query. Where no word begins so, the terms are looked for inside words."""
    query = read_query(text)
    hits: tuple[SearchHit, ...] = ()
    if query.words:
        sql = _BY_WORDS + _HOLDS * len(query.parts) + _BEST_FIRST
        hits = tuple(_marked(row) for row in db.execute(sql, (query.words, *map(pattern, query.parts))))
    if query.terms and not hits:
        sql = _BY_PARTS + _HOLDS * len(query.terms) + _NEWEST_FIRST
        hits = tuple(_cut_out(row, query.terms) for row in db.execute(sql, tuple(map(pattern, query.terms))))
    return hits


def read_query(text: str) -> Query:
    """The terms of a query: words, and phrases in double quotes."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_QUERY])
    words: list[str] = []
    parts: list[str] = []
    terms: list[str] = []
    for phrase, word in _TERM.findall(printable)[:MOST_TERMS]:
        term = (phrase or word).strip()
        if not term.strip('"'):
            continue
        terms.append(term)
        indexed = bool(_LETTER.search(term)) and not _UNSPACED.search(term)
        whole = bool(_LETTER.match(term[0]) and _LETTER.match(term[-1]))
        if indexed:
            words.append('"' + term.replace('"', '""') + ('"*' if word and whole else '"'))
        if not indexed or not whole:
            parts.append(term)
    return Query(" ".join(words), tuple(parts), tuple(terms))


def pattern(text: str) -> str:
    """A LIKE pattern for texts that hold this one; its escape is the backslash."""
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _marked(row: sqlite3.Row) -> SearchHit:
    """A hit whose snippet the index cut out and marked."""
    snippet, matches, length = "", [], 0
    for at, piece in enumerate(_MARKED.split(row["marked"])):
        piece = piece.replace(_OPEN, "").replace(_CLOSE, "")
        if at % 2 and piece:
            matches.append((length, length + len(piece)))
        snippet += piece
        length += len(piece)
    return _hit(row, snippet, matches)


def _cut_out(row: sqlite3.Row, terms: tuple[str, ...]) -> SearchHit:
    """A hit with the surroundings of the first term found."""
    text = row["text"]
    finder = re.compile("|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True)), re.IGNORECASE)
    found = finder.search(text)
    start = max(0, found.start() - AROUND) if found else 0
    end = (found.end() if found else 0) + AROUND
    snippet = ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
    return _hit(row, snippet, [match.span() for match in finder.finditer(snippet)])


def _hit(row: sqlite3.Row, snippet: str, matches: list[tuple[int, int]]) -> SearchHit:
    return SearchHit(
        chat_id=row["chat_id"],
        title=row["title"],
        # One blank for each, so that the ranges still fit.
        snippet="".join(" " if letter.isspace() else letter for letter in snippet),
        matches=tuple(matches),
        updated_at=row["updated_at"],
        message_id=row["message_id"],
        role=row["role"],
    )
