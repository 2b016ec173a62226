"""Reads a final answer out of free text, as language models write it.

Holds what all scorers share: where the final answer begins, and how a sequence, a grid or a list of "who has what"
stands there. Judges nothing: a reader returns the one answer that the text gives, or None when it gives none, an
incomplete one, or two that differ. No reader raises, whatever the string, and all are linear in its length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

MAX_CHARACTERS = 20_000
"""An answer stands at the end; of an endless text only this much of the end is read."""

_MARKUP = re.compile(r"```[a-zA-Z]*|\\(?:boxed|text|mathbf|quad|hline)|</?[a-zA-Z]{1,10}>|[*_`#~$]")
# "Answer:" outranks "the answer is", which also stands in remarks such as "this answer is correct".
_MARKERS = (
    re.compile(r"\banswer[ \t]*(?:(?:is|are)[ \t]*)?[:=]", re.IGNORECASE),
    re.compile(r"\banswer[ \t]+(?:is|are)\b", re.IGNORECASE),
)
# The same in text whose markdown stands: what opens before it, and what closes right behind the word.
_WRITTEN_MARKERS = tuple(
    re.compile(rf"([*_`]{{0,3}})(?<![^\W_])(?:(?:the|my|final)[ \t]+){{0,2}}answer([*_`]{{0,3}}){end}", re.IGNORECASE)
    for end in (r"[ \t]*(?:(?:is|are)[ \t]*)?[:=]", r"[ \t]+(?:is|are)\b")
)
_FENCE = re.compile(r"```[a-zA-Z]*")
_TAGS = re.compile(r"```[a-z]*|</?[a-z]{1,10}>")
_LATEX = re.compile(r"\\(?:boxed|text|mathbf|mathrm|quad|hline)\b|\\[()\[\],!]|\$")
_RUNS = re.compile(r"(?<![^\W_])[*_`]{1,9}(?=\S)|[*_`]{1,9}(?![^\W_])")
_EMPHASIS = re.compile(r"(?<![\w*_`])(\*{1,3}|_{1,3}|`|~~)(?=\S)(.{1,300}?)(?<=\S)\1(?![\w*_`])")
_ENDS = re.compile(r"^(?:#{1,6} +|[*_]{2,}|`+)+|(?:(?<![*_])[*_]{2,}|(?<!`)`+)$")
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_BULLET = re.compile(r"(?m)^[ \t]*[-\u2022+][ \t]+")
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")
_BETWEEN = re.compile(r"(?:[\s,;|<>&\[\](){}\"'\u2264\u2192\\]|->|=>|\band\b|\bthen\b)*", re.IGNORECASE)
_ROW_LABEL = re.compile(r"(?i)^[ \t|]*(?:row|r|line)[ \t]*[0-9][ \t]*[:|=)-]")
_MARKS, _QUOTES = ".:!? ", "\"'()[]{}\u201c\u201d "
_HIDDEN = "\u2588"
_GRID_MARKS = re.compile(r"[\s,;|&\[\](){}\"'+=\u2500-\u257f:/\\.-]")


def final_part(text: str) -> str:
    """Return what follows the last "Answer:", else the last "the answer is", else all; markdown is taken out.

    Example:
        >>> final_part("So 3.\\n**Answer:** `12`").strip()
        '12'
    """
    plain = _MARKUP.sub(" ", text[-MAX_CHARACTERS:])
    for marker in _MARKERS:
        ends = [match.end() for match in marker.finditer(plain)]
        if ends:
            return plain[ends[-1] :]
    return plain


def written_part(text: str) -> str:
    """Return the final part with its markdown: for answers in which "#", "*" or "_" may mean something.

    Only what was opened before the marker and fences of code are taken out.

    Example:
        >>> written_part("**Answer: A# B#**").strip()
        'A# B#'
    """
    tail, plain = text[-MAX_CHARACTERS:], final_part(text)
    part = tail
    for marker in _WRITTEN_MARKERS:
        found = list(marker.finditer(tail))
        if found:
            start, (opened, closed) = found[-1].start(), found[-1].groups()
            part = tail[found[-1].end() :]
            for run in _open_runs(tail[tail.rfind("\n", 0, start) + 1 : start] + opened + "answer" + closed):
                mark = re.escape(run[0])
                part = re.sub(rf"(?<!{mark}){re.escape(run)}(?!{mark})", "", part, count=1)
            break
    same = _MARKUP.sub(" ", part).split() == plain.split()  # Or the last marker is one that only stands without markdown.
    return _FENCE.sub("", part) if same else plain


def _open_runs(line: str) -> list[str]:
    """Return the runs of markdown that open in a line and do not close in it, the innermost first."""
    stack: list[str] = []
    for match in _RUNS.finditer(line):
        run = match.group()
        if stack and stack[-1] == run:
            stack.pop()
        elif not line[match.end() :].startswith((" ", "\t")):
            stack.append(run)
    return stack[::-1]


def read_sequence(text: str, symbols: Collection[str], count: int, *, restated: Sequence[str] = ()) -> tuple[str, ...] | None:
    """Return the one run of exactly `count` symbols in the final part of `text`.

    A run is symbols with nothing but commas, blanks, brackets, arrows or "and" between them. Digits may be set apart
    ("1 2" for 12) or run together, if they all are.

    Args:
        text: any string.
        symbols: closed vocabulary, all numbers of one width or all words.
        count: symbols of the answer.
        restated: a run that repeats the question; it counts only where there is no other.

    Example:
        >>> read_sequence("The 3 numbers in order are: 1, 2 and 7.", ["1", "2", "7"], 3)
        ('1', '2', '7')
    """
    numeric = all(symbol.isdecimal() for symbol in symbols)
    # Signs and decimals belong to the token, so that -1 or 1.2 is no 1.
    token = r"-?[0-9]+(?:\.[0-9]+)?" if numeric else rf"\b(?:{'|'.join(map(re.escape, symbols))})\b"
    names = {symbol.lower(): symbol for symbol in symbols}
    width = max(map(len, symbols)) if numeric else 0
    found = set()
    for run in _runs(final_part(text), re.compile(token, re.IGNORECASE)):
        parts = _cut(run, width, count) if numeric else run
        if len(parts) == count and all(part.lower() in names for part in parts):
            found.add(tuple(names[part.lower()] for part in parts))
    if len(found) > 1:
        found.discard(tuple(restated))
    return found.pop() if len(found) == 1 else None


def read_text(text: str, answer: Sequence[str], separator: str) -> tuple[str, ...] | None:
    """Return `answer` where the final part of `text`, or its first line, says the same; else what stands there.

    The same means equal in their plain form; see plain_form.

    Example:
        >>> read_text("It is far. **Answer:** 'New  York'.", ["New York"], " ")
        ('New York',)
        >>> read_text("Answer: 3 1", ["1", "3"], " ")
        ('3 1',)
    """
    part = written_part(text).strip()
    candidates = [part, *part.splitlines()[:1]]
    one = len(answer) == 1 or not separator
    wanted = {plain_form(separator.join(answer), number=number) for number in {False, one}}
    if any(plain_form(candidate, number=number) in wanted for candidate in candidates for number in (False, True)):
        return tuple(answer)
    return (candidates[-1].strip(),) if part else None


def said(text: str, lines: int) -> tuple[str, ...] | None:
    """Return the plain form of the first `lines` lines of the final part of `text`, or None where nothing stands there.

    Example:
        >>> said("The answer is **12**.\\nCheck: 6 + 6.", 1)
        ('12',)
    """
    full = [line for line in written_part(text).splitlines() if line.strip()]
    form = plain_form("\n".join(full[:lines]))
    return (form,) if form else None


def plain_form(text: str, *, number: bool = True) -> str:
    """Return text without what does not tell one short answer from another; all of it where nothing else is left.

    That is case, blanks, commas, quotes, a full stop, "$", LaTeX around the answer, and markdown around the answer or a word
    of it; within a word it belongs to it.

    Args:
        text: a short answer.
        number: take commas between thousands out of a number that stands alone.

    Example:
        >>> plain_form("**1,234**."), plain_form("\\\\( \\\\boxed{42} \\\\)"), plain_form("C#")
        ('1234', '42', 'c#')
    """
    normal = " ".join(unicodedata.normalize("NFKC", text).replace("\u2212", "-").casefold().split())
    bare = _LATEX.sub("", _TAGS.sub(" ", normal)).strip()
    for _ in range(3):  # Emphasis inside emphasis.
        bare = _EMPHASIS.sub(r"\2", bare)
    bare = _ENDS.sub("", _ENDS.sub("", bare).rstrip(_MARKS)).strip(_QUOTES).rstrip(_MARKS)
    if number and _THOUSANDS.fullmatch(bare):
        return bare.replace(",", "")
    return re.sub(r"[\s,;]+", " ", bare).strip() or normal


def _runs(part: str, token: re.Pattern[str]) -> list[list[str]]:
    runs: list[list[str]] = []
    for paragraph in _PARAGRAPH.split(_BULLET.sub("", part)):
        end = None
        for match in token.finditer(paragraph):
            if end is None or not _BETWEEN.fullmatch(paragraph, end, match.start()):
                runs.append([])
            runs[-1].append(match.group())
            end = match.end()
    return runs


def _cut(run: list[str], width: int, count: int) -> list[str]:
    """Bring digits that were all set apart, or all run together, back to symbols of `width` digits."""
    joined = "".join(run)
    uniform = len(run) == 1 or all(len(part) == 1 for part in run)
    if uniform and len(joined) == width * count:
        return [joined[i : i + width] for i in range(0, len(joined), width)]
    return run


def read_grid(text: str, size: int) -> tuple[str, ...] | None:
    """Return the one full grid of `size` rows of digits 1 to `size` in the final part of `text`, row by row.

    Rows may carry box lines, table bars, commas, brackets or a label ("Row 1:"); the grid may also stand in one line.
    A grid with blanks is a restated question and does not count.

    Example:
        >>> read_grid("Answer:\\n| 1 2 | 3 4 |\\n| 3 4 | 1 2 |\\n|-----|-----|\\n2 1 4 3\\n4 3 2 1", 4)
        ('1', '2', '3', '4', '3', '4', '1', '2', '2', '1', '4', '3', '4', '3', '2', '1')
    """
    lines = [_GRID_MARKS.sub("", _ROW_LABEL.sub("", line)) for line in final_part(text).splitlines()]
    row, whole = re.compile(f"[1-{size}]{{{size}}}"), re.compile(f"[1-{size}]{{{size * size}}}")
    grids = _rows_of(lines, row, whole, size)
    return tuple(grids.pop()) if len(grids) == 1 else None


def _rows_of(lines: list[str], row: re.Pattern[str], whole: re.Pattern[str], size: int) -> set[str]:
    """Return the grids that stand in one line or row by row."""
    grids = {line for line in lines if whole.fullmatch(line)}
    # Blank lines part two grids, or the bands of one: the first reading that gives a grid counts.
    return grids | (_stacked(lines, row, size) or _stacked([line for line in lines if line], row, size))


def _stacked(lines: list[str], row: re.Pattern[str], size: int) -> set[str]:
    groups: list[list[str]] = [[]]
    for line in lines:
        if row.fullmatch(line):
            groups[-1].append(line)
        elif groups[-1]:
            groups.append([])
    return {
        "".join(group[start : start + size]) for group in groups if len(group) % size == 0 for start in range(0, len(group), size)
    }


def read_drawing(text: str, size: int, symbols: Collection[str], mark: str) -> tuple[str, ...] | None:
    """Return the one grid of `size` rows of `symbols` with a `mark` in it, in the final part of `text`, row by row.

    Rows may be written with blanks, bars, commas, brackets or a label; a grid without a mark restates the question.

    Example:
        >>> read_drawing("So:\\n| S | o |\\n| # | G |", 2, "#.SGo", "o")
        ('S', 'o', '#', 'G')
    """
    # "#" is a symbol here and markup elsewhere: it is hidden from what takes markup out.
    hidden = text[-MAX_CHARACTERS:].replace("#", _HIDDEN)
    lines = [_ROW_LABEL.sub("", line) for line in final_part(hidden).replace(_HIDDEN, "#").splitlines()]
    plain = [re.sub(r"[\s,;|&\[\](){}\"'+\\/-]", "", line).replace("O", mark) for line in lines]
    cell = "[" + re.escape("".join(symbols)) + "]"
    found = _rows_of(plain, re.compile(f"{cell}{{{size}}}"), re.compile(f"{cell}{{{size * size}}}"), size)
    drawn = {grid for grid in found if mark in grid}
    return tuple(drawn.pop()) if len(drawn) == 1 else None


def read_colours(text: str) -> tuple[str, ...] | None:
    """Return the rows of the one rectangle of digits in the final part of `text`, behind its last "Output:" if there is one.

    Rows may be written with blanks, bars, commas, brackets or a label, also in one line as nested lists; dots are no cells.

    Example:
        >>> read_colours("Input:\\n1 2\\nOutput:\\n2 1 .\\n0 0 .\\n. . .")
        ('21', '00')
        >>> read_colours("Answer: [[2, 1], [0, 0]]")
        ('21', '00')
    """
    part = re.split(r"(?i)\boutput[ \t]*:", final_part(text))[-1]
    groups: list[list[str]] = [[]]
    for line in re.sub(r"\][ \t]*,", "\n", part).splitlines():
        row = _GRID_MARKS.sub("", _ROW_LABEL.sub("", line))
        if row.isascii() and row.isdecimal():
            groups[-1].append(row)
        elif groups[-1]:
            groups.append([])
    grids = {tuple(group) for group in groups if group and len(set(map(len, group))) == 1}
    return grids.pop() if len(grids) == 1 else None


def read_assignment(text: str, names: Sequence[str], symbols: Collection[str]) -> tuple[str, ...] | None:
    """Return the symbol given to each name in the final part of `text`, in the order of `names`.

    Where names are mentioned, each needs exactly one symbol after it in its own clause, in any order of the names;
    where none is, the symbols alone are read as a sequence.

    Example:
        >>> read_assignment("Bob has the red ball and Alice: blue.", ["Alice", "Bob"], ["red", "blue"])
        ('blue', 'red')
    """
    part = final_part(text)
    if not re.search(rf"(?i)\b(?:{'|'.join(map(re.escape, names))})\b", part):
        return read_sequence(text, symbols, len(names))
    held: dict[str, set[str]] = {name.lower(): set() for name in names}
    words = [*names, *symbols]
    holder = None
    for match in re.finditer(rf"(?i)\b(?:{'|'.join(map(re.escape, words))})\b|[.;\n]", part):
        word = match.group().lower()
        if word in held:
            holder = word
        elif holder and word not in {".", ";", "\n"}:
            held[holder].add(word)
            holder = None
        elif word != "\n":
            holder = None
    spelling = {symbol.lower(): symbol for symbol in symbols}
    if any(len(found) != 1 for found in held.values()):
        return None
    return tuple(spelling[held[name.lower()].pop()] for name in names)
