"""The mapping document as Markdown, CSV and HTML: the same facts in three forms."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from html import escape

from gateway.mapping_document import HEADINGS, Line, MappingDocument, Section

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:120rem;padding:1rem 1.5rem;color:#1b1f24}
h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .3rem}p{margin:.3rem 0;max-width:60rem}
nav{columns:18rem;margin:1rem 0;padding:.6rem 1rem;background:#f4f6f8;border-radius:6px}nav a{display:block}
a{color:#0a58a8;text-decoration:none}a:hover{text-decoration:underline}
.scroll{overflow:auto;max-height:88vh;border:1px solid #d5dae0;border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #e6e9ed}
th{background:#eef1f4;position:sticky;top:0}
tr:hover td{background:#f8fafc}td.path{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12.5px}
td.path{min-width:10.5rem;overflow-wrap:anywhere}td.words{min-width:10rem}td.short{min-width:3.5rem}
code{font-size:.93em}td.no{color:#8a5300}
input{font:inherit;padding:.4rem .6rem;width:22rem;max-width:100%;margin:.6rem 0}
@media print{input,nav{display:none}.scroll{overflow:visible;max-height:none;border:0}th{position:static}}
""".strip()
_FILTER = """
document.querySelector('input').addEventListener('input',e=>{const w=e.target.value.toLowerCase();
document.querySelectorAll('tbody tr').forEach(r=>{r.hidden=!r.textContent.toLowerCase().includes(w)})})
""".strip()
_SHORT = frozenset({"ehr_required", "vendor_required"})
_MEMBER = re.compile(r"\.(?=[A-Za-z])")
_CODE = re.compile(r"`([^`]*)`")
_PATHS = frozenset({"ehr", "element", "vendor"})


def as_markdown(document: MappingDocument) -> str:
    """Sections with a table each; empty columns of a table are left out."""
    parts = [_escaped(text) for text in (f"# Mapping: {document.title}", *document.about)]
    for section in document.sections:
        parts += [_escaped(f"## {section.title}"), _escaped(section.about), _markdown_table(section)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(section: Section) -> str:
    columns = used_columns(section)
    rows = [[HEADINGS[c] for c in columns], ["---"] * len(columns)]
    rows += [[_markdown_cell(getattr(line, c), code=c in _PATHS) for c in columns] for line in section.lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _markdown_cell(text: str, *, code: bool) -> str:
    """A cell; paths stand in code quotes, and what Markdown would take for its own is escaped."""
    parts = text.split("\n")
    shown = (f"`{p}`" if code and p and not p.startswith("- ") else _escaped(p) for p in parts)
    return "<br>".join(shown).replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")


def as_csv(document: MappingDocument) -> str:
    """One table for all sections: the section's title, then every column."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["section", *HEADINGS.values()])
    for section in document.sections:
        for line in section.lines:
            writer.writerow([section.title, *(_csv_cell(getattr(line, column)) for column in HEADINGS)])
    return file.getvalue()


def _csv_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f" {text}" if text.startswith(("=", "+", "-", "@")) else text


def as_html(document: MappingDocument) -> str:
    """One self-contained page: contents, a filter, a table a section."""
    links = "".join(f'<a href="#s{i}">{escape(s.title)}</a>' for i, s in enumerate(document.sections))
    about = "".join(f"<p>{_html(sentence)}</p>" for sentence in document.about)
    sections = "".join(_html_section(i, section) for i, section in enumerate(document.sections))
    title = escape(f"Mapping: {document.title}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style></head>\n'
        f"<body><h1>{title}</h1>{about}\n<nav>{links}</nav>\n"
        f'<input type="search" placeholder="Show only lines with ..." aria-label="Filter">\n'
        f"{sections}<script>{_FILTER}</script></body></html>\n"
    )


def _html_section(index: int, section: Section) -> str:
    columns = used_columns(section)
    head = "".join(f"<th>{escape(HEADINGS[c])}</th>" for c in columns)
    rows = "\n".join(f"<tr>{''.join(_html_cell(line, c) for c in columns)}</tr>" for line in section.lines)
    return (
        f'<h2 id="s{index}">{escape(section.title)}</h2><p>{escape(section.about)}</p>\n'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>\n'
    )


def _html_cell(line: Line, column: str) -> str:
    text: str = getattr(line, column)
    if text.startswith("- "):
        return f'<td class="no">{escape(text.removeprefix("- "))}</td>'
    kind = "path" if column in _PATHS else "short" if column in _SHORT else "words"
    shown = _html(text)
    if kind == "path":
        shown = _MEMBER.sub(".<wbr>", shown)  # a path breaks between its members
    return f'<td class="{kind}">{shown}</td>'


def _html(text: str) -> str:
    """Escaped text, its lines and its `code` as such."""
    return _CODE.sub(r"<code>\1</code>", escape(text)).replace("\n", "<br>")


def used_columns(section: Section) -> list[str]:
    """The section's columns that say something in at least one line."""
    return [c for c in section.columns if any(getattr(line, c) for line in section.lines)]


FORMATS: Mapping[str, Callable[[MappingDocument], str]] = {"html": as_html, "csv": as_csv, "md": as_markdown}
"""The forms of `gateway mapping --format`."""
