"""The bill of materials of a release package: CycloneDX 1.6 JSON, made from its lock alone.  Pure.

Source of the format: https://cyclonedx.org/docs/1.6/json (ECMA-424), and the package URL specification for `purl`.
The same lock gives the same document: no moment is in it, and the serial number follows from the package's digest.
"""

import re
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID, uuid5

from packageurl import PackageURL

from verdelta_agent.model import canonical

from .components import Kind
from .lock import Lock, LockedComponent

NAMESPACE = UUID("5e5c1b8e-6f43-5d0b-9b3e-2b0f8a1c7d42")  # of serial numbers; made once, never changed

_TYPES = {
    Kind.IN_HOUSE_APPLICATION: "application",
    Kind.EXTERNAL_SOFTWARE: "application",
    Kind.UTILITY_SOFTWARE: "application",
    Kind.SYSTEM_SOFTWARE: "platform",
    Kind.HARDWARE: "device",
    Kind.DOCUMENTATION: "data",
}
_PURL_TYPES = {"deb": "deb", "rpm": "rpm", "pip": "pypi"}
_TOLD = ("owner", "status", "document", "support_until", "manager", "source")
_LEFT_AS_THEY_ARE = "/:@!$&'()*+,;=%"  # in the parts of a URL


def bill_of_materials(lock: Lock, digest: str) -> dict[str, Any]:
    """Return the bill of materials of the package with this digest (SHA-256, hex)."""
    whole = f"{lock.release}@{lock.version}"
    refs = {component.ref: f"component:{component.ref}" for component in lock.components}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": f"release:{whole}",
                "name": lock.release,
                "version": lock.version,
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "properties": [{"name": "verdelta:service", "value": lock.service}],
            }
        },
        "components": [_component(component, refs[component.ref]) for component in lock.components],
        "dependencies": [
            {"ref": f"release:{whole}", "dependsOn": sorted(refs.values())},
            *(
                {"ref": refs[component.ref], "dependsOn": [refs[ref] for ref in component.requires]}
                for component in lock.components
            ),
        ],
    }


def _component(component: LockedComponent, ref: str) -> dict[str, Any]:
    one_file = len(component.files) == 1
    found: dict[str, Any] = {
        "type": "file" if component.kind is Kind.DOCUMENTATION and one_file else _TYPES[component.kind],
        "bom-ref": ref,
        "name": component.name,
        "version": component.version,
        "properties": _properties(component),
    }
    if component.supplier is not None:
        found["supplier"] = {"name": component.supplier}
    if component.sha256 is not None and one_file:
        found["hashes"] = [{"alg": "SHA-256", "content": component.sha256}]
    if component.licence is not None:
        found["licenses"] = [{"expression": component.licence}]
    if component.kind not in (Kind.HARDWARE, Kind.DOCUMENTATION):
        found["purl"] = _purl(component)
    if (url := _url(component.source or "")) is not None:
        found["externalReferences"] = [{"type": "distribution", "url": url}]
    if len(component.files) > 1:
        found["components"] = [
            {
                "type": "file",
                "bom-ref": f"file:{path}",
                "name": path,
                "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            }
            for path, file in sorted(component.files.items())
        ]
    return found


def _properties(component: LockedComponent) -> list[dict[str, str]]:
    told = [("kind", component.kind.value), *((name, getattr(component, name)) for name in _TOLD)]
    told += [("specification", _line(line)) for line in component.specification]
    return [{"name": f"verdelta:{name}", "value": value} for name, value in told if value is not None]


def _line(expected: dict[str, Any]) -> str:
    return f"{expected['section']} {expected['key']}: {canonical(expected['after']).decode()}"


def _url(source: str) -> str | None:
    """Return a source as a URL that every reader takes, or None when it is no URL."""
    try:
        parts = urlsplit(source)
        valid = bool(parts.scheme and (parts.netloc or parts.path)) and (parts.port is None or parts.port >= 0)
    except ValueError:
        return None
    if not valid or "://" not in source:
        return None
    quoted = [quote(part, safe=_LEFT_AS_THEY_ARE) for part in parts[1:]]
    return urlunsplit((parts.scheme, *(re.sub("%(?![0-9A-Fa-f]{2})", "%25", part) for part in quoted)))


def _purl(component: LockedComponent) -> str:
    """Return the package URL: of the manager's package, or a generic one with the digest of what it is."""
    kind = _PURL_TYPES.get(component.manager or "", "generic")
    name = component.package if kind != "generic" and component.package else component.name
    qualifiers = {"checksum": f"sha256:{component.sha256}"} if component.sha256 and len(component.files) == 1 else {}
    return PackageURL(kind, name=name, version=component.version, qualifiers=qualifiers).to_string()
