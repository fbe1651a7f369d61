"""Pictures of what evidence proves.  Pure."""

from rich.console import Group, RenderableType
from rich.text import Text

from ..rollouts.bundle_report import HostFound, Report, Statement
from ..rollouts.verdict import ACCEPTABLE, Item
from . import signs
from .signs import Sign
from .text import amount, cut, plain

HOLDS = Sign("✔", "holds", signs.GOOD)
BROKEN = Sign("✖", "does not hold", signs.BAD)
LINE = 200  # characters of an item that are shown; wide shows all
SHOWN = 5  # items of a host that are not as they should be; wide shows all


def report(found: Report, wide: bool = False) -> RenderableType:
    """Return every statement, host by host, what was not as released, and whether all of it holds."""
    lines = [_statement(one) for one in found.statements if not one.host]
    for name in dict.fromkeys(one.host for one in found.statements if one.host):
        lines.append(_host(name, next((host for host in found.hosts if host.name == name), None)))
        lines += [_statement(one) for one in found.statements if one.host == name]
        lines += [line for host in found.hosts if host.name == name for line in _items(host, wide)]
    return Group(*lines, Text(""), _sum(found))


def _statement(one: Statement) -> Text:
    sign = HOLDS if one.holds else BROKEN
    line = Text("  " if one.host else "").append(f"{sign.sign} {sign.word}", style=sign.style)
    line.append(f"  {plain(one.text)}")
    return line if one.holds else line.append(f"\n      {plain(one.reason)}", style=signs.BAD)


def _host(name: str, host: HostFound | None) -> Text:
    if host is None:
        sign = Sign("?", "not proved", signs.UNSURE)
    else:
        sign = signs.sign_of(signs.HOSTS, host.state) if host.state else Sign("·", "no verdict", signs.IDLE)
    return Text(f"{plain(name)}  ", style="bold").append(f"{sign.sign} {sign.word}", style=sign.style)


def _items(host: HostFound, wide: bool) -> list[Text]:
    """Return what is not as it was released."""
    items = [item for item in host.verdict.items if item.outcome not in ACCEPTABLE] if host.verdict else []
    shown = items if wide else items[:SHOWN]
    lines = [_item(item, wide) for item in shown]
    return lines if len(shown) == len(items) else [*lines, Text(f"    {len(items) - len(shown)} more")]


def _item(item: Item, wide: bool) -> Text:
    sign = signs.sign_of(signs.OUTCOMES, item.outcome.value)
    said = f"{plain(item.section)}  {plain(item.key)}  {plain(item.detail)}"
    line = Text("    ").append(f"{sign.sign} {sign.word}", style=sign.style)
    return line.append(f"  {said if wide else cut(said, LINE)}")


def _sum(found: Report) -> Text:
    broken = sum(not one.holds for one in found.statements)
    which = f", roll-out {found.rollout}" if found.rollout is not None else ""
    about = f"{plain(found.release)}{which}: " if found.release else ""
    if found.holds:
        return Text(f"✔ {about}the evidence holds, {amount(len(found.statements), 'statement')}", style=signs.GOOD)
    return Text(f"✖ {about}the evidence does not hold: {amount(broken, 'statement')} refuted", style=signs.BAD)
