"""What is compiled once from a description: the map, the carried elements, the requests. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.billing.http_api.carrying import Carrying, decide
from adapters.billing.http_api.compiler import Compiler
from adapters.billing.http_api.documents import Format, NotReadable, read, write, xml_name
from adapters.billing.http_api.expressions import Mention
from adapters.billing.http_api.extract import PAYER_NUMBER, Extractor
from adapters.billing.http_api.facts import PRIOR, find_fact
from adapters.billing.http_api.problems import Problem
from adapters.billing.http_api.requests import Request, parse_request, placeholder_problem
from adapters.billing.http_api.template import Entries, Fixed, Leaf, Loop, Members, Node, leaf_mentions
from gateway.canonical.models import ClaimFrequency

if TYPE_CHECKING:
    from adapters.billing.http_api.description import Description

_OWN_IDS = frozenset({"submission_id", "account_number"})


@dataclass(frozen=True, slots=True)
class Plan:
    """A description ready for use. `requests` is by frequency code; `leaves` and `fixed` are the mapping's rows."""

    root: Node
    omit_empty: bool
    leaves: tuple[Leaf, ...]
    fixed: tuple[Fixed, ...]
    carrying: Carrying
    extractor: Extractor
    frequencies: frozenset[str]
    requests: Mapping[str, Request]


def make_plan(description: Description) -> tuple[Plan, list[Problem]]:
    """Compile a description whose parts are each valid, and tell what is wrong with the whole."""
    compiler = Compiler()
    root = compiler.node(description.submit.map, ("submit", "map"))
    mentions = list(leaf_mentions(compiler.leaves, compiler.loops))
    requests, problems = _requests(description)
    for request in requests.values():
        names = (name for name in request.placeholders if name.startswith(f"{PRIOR}."))
        mentions += [(f"{request.method} {request.path}", Mention(name)) for name in names]
    corrects = len(requests) > 1
    carrying, undecided = decide(mentions, description.waived, description.refused, corrects)
    problems += compiler.problems
    if not compiler.problems:  # a leaf that was refused carries nothing: say that first
        problems += undecided
    problems += _prior_problems(mentions, description, corrects)
    problems += _search_problems(description, {mention.name for _, mention in mentions})
    if description.submit.payload is Format.XML:
        problems += _xml_problems(root)
    wanted = {name for name in carrying.facts | carrying.refused if find_fact(name)}
    plan = Plan(
        root=root,
        omit_empty=description.submit.omit_empty,
        leaves=tuple(compiler.leaves),
        fixed=tuple(compiler.fixed),
        carrying=carrying,
        extractor=Extractor(wanted | set(_usual(wanted)) | set(compiler.conditions)),
        frequencies=frozenset(requests),
        requests=requests,
    )
    return plan, problems


def _usual(names: set[str]) -> Iterator[str]:
    for name in names:
        fact = find_fact(name)
        if fact and fact.usual.startswith("."):
            yield name.partition(".")[0] + fact.usual


def _requests(description: Description) -> tuple[dict[str, Request], list[Problem]]:
    """The request of each frequency that the vendor takes, and what is wrong with all request lines."""
    vendor_ids = set(description.reply.ids)
    lines: list[tuple[tuple[str, ...], str, Set[str]]] = [
        (("submit", "request"), description.submit.request, set(_OWN_IDS)),
    ]
    if description.find:
        lines.append((("find", "request"), description.find.request, set(_OWN_IDS)))
    if description.outcome:
        lines.append((("outcome", "request"), description.outcome.request, {"submission_id", *vendor_ids}))
    if description.probe:
        lines.append((("probe", "request"), description.probe.request, set()))
    requests = {ClaimFrequency.ORIGINAL.value: parse_request(description.submit.request)}
    corrections = description.corrections
    for name, frequency, correction in (
        ("replace", ClaimFrequency.REPLACEMENT, corrections.replace),
        ("void", ClaimFrequency.VOID, corrections.void),
    ):
        if correction is not None:
            line = correction.request or description.submit.request
            lines.append((("corrections", name, "request"), line, _OWN_IDS | {f"{PRIOR}.{i}" for i in vendor_ids}))
            requests[frequency.value] = parse_request(line)
    found = ((place, placeholder_problem(parse_request(line), allowed)) for place, line, allowed in lines)
    return requests, [Problem(place, problem) for place, problem in found if problem]


def _prior_problems(mentions: list[tuple[str, Mention]], description: Description, corrects: bool) -> Iterator[Problem]:
    known = {*description.reply.ids, "submission_id", PAYER_NUMBER}
    for target, mention in mentions:
        scope, _, member = mention.name.partition(".")
        if scope == PRIOR and member not in known:
            text = f"names `{mention.name}` at {target}; known of a prior claim are {', '.join(sorted(known))}"
            yield Problem(("submit", "map"), text)
        if scope == PRIOR and not corrects:
            yield Problem(("submit", "map"), f"names `{mention.name}` at {target}, but `corrections` names none")


def _search_problems(description: Description, facts: set[str]) -> Iterator[Problem]:
    if "claim.submission_id" in facts:
        return
    if description.find and "submission_id" not in parse_request(description.submit.request).placeholders:
        yield Problem(
            ("submit", "map"), "never sends claim.submission_id, by which `find` recognizes the claim; map it"
        )


def _xml_problems(root: Node) -> Iterator[Problem]:
    if isinstance(root, Members) and (len(root.nodes) != 1 or root.nodes[0][0].startswith(("@", "#"))):
        yield Problem(("submit", "map"), "has not exactly one member: an XML document has one root element")
        return
    wrong = list(_xml_names(root, ("submit", "map")))
    yield from wrong
    if not wrong and not _well_formed(root):
        yield Problem(
            ("submit", "map"), "makes no XML: a prefix has no `@xmlns:prefix`, or an attribute stands in a list"
        )


def _well_formed(root: Node) -> bool:
    try:
        read(write(_skeleton(root), Format.XML), Format.XML)
    except NotReadable:
        return False
    return True


def _skeleton(node: Node) -> Any:
    """A document of this form, with `1` for every fact."""
    if isinstance(node, Members):
        return {name: _skeleton(inner) for name, inner in node.nodes}
    if isinstance(node, Entries):
        return [_skeleton(inner) for inner in node.nodes]
    if isinstance(node, Loop):
        return [_skeleton(node.body)]
    return node.constant if isinstance(node, Fixed) else "1"


def _xml_names(node: Node, place: tuple[str, ...]) -> Iterator[Problem]:
    if isinstance(node, Members):
        for name, inner in node.nodes:
            if not xml_name(name):
                yield Problem((*place, name), "is no name of an XML element; attributes are @name, text is #text")
            if name.startswith(("@", "#")) and isinstance(inner, Members | Entries | Loop):
                yield Problem((*place, name), "is text in XML, so it cannot hold members or a list")
            yield from _xml_names(inner, (*place, name))
    elif isinstance(node, Loop):
        yield from _xml_names(node.body, (*place, "$map"))
    elif isinstance(node, Entries):
        for inner in node.nodes:
            yield from _xml_names(inner, place)
