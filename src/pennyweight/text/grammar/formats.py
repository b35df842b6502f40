"""String formats as regular expressions (syntax of Rust's `regex`), for whole strings.

Each matches a part of what its standard allows, the part common validators agree about: no leap seconds, no
year 0, upper-case T and Z, host names of at most three labels. What a format's whole language may be is no
use if a client's own validator refuses an answer.
"""

from __future__ import annotations

_MONTH_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_YEAR = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = rf"(?:{_YEAR}-{_MONTH_DAY}|{_LEAP_YEAR}-02-29)"
_HOUR = r"(?:[01][0-9]|2[0-3])"
_TIME = rf"{_HOUR}:[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_HOUR}:[0-5][0-9])"
_NUMBER = r"[0-9]{1,9}"
_CLOCK = rf"T(?:{_NUMBER}H(?:{_NUMBER}M(?:{_NUMBER}S)?)?|{_NUMBER}M(?:{_NUMBER}S)?|{_NUMBER}S)"
_DAYS = rf"(?:{_NUMBER}Y(?:{_NUMBER}M(?:{_NUMBER}D)?)?|{_NUMBER}M(?:{_NUMBER}D)?|{_NUMBER}D)"
_LABEL = r"[a-zA-Z0-9]{1,30}(?:-[a-zA-Z0-9]{1,30})?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
_H16 = r"[0-9a-fA-F]{1,4}"
_ATOM = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]"
_UNRESERVED = r"(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL}){{0,2}})"
_PATH = rf"(?:/{_UNRESERVED}*)*"
_TAIL = rf"(?:\?(?:{_UNRESERVED}|[/?])*)?(?:\#(?:{_UNRESERVED}|[/?])*)?"
_SEGMENT = r"(?:[a-zA-Z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})+"  # without colon: it is no scheme
_POINTER = r"(?:/(?:[^~/\x00-\x1f\x7f]|~[01])*)*"

FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}T{_TIME}",
    "duration": rf"P(?:{_DAYS}(?:{_CLOCK})?|{_CLOCK}|{_NUMBER}W)",
    "email": rf"{_ATOM}{{1,32}}(?:\.{_ATOM}{{1,31}})?@(?:{_LABEL}\.){{1,2}}[a-zA-Z]{{2,24}}",
    "hostname": rf"{_LABEL}(?:\.{_LABEL}){{0,1}}(?:\.[a-zA-Z]{{2,24}})?",
    "ipv4": _IPV4,
    "ipv6": "|".join(
        [
            rf"(?:{_H16}:){{7}}{_H16}",
            *(rf"(?:{_H16}:){{{n}}}(?::{_H16}){{1,{7 - n}}}" for n in range(1, 7)),
            rf":(?::{_H16}){{1,7}}",
            rf"(?:{_H16}:){{1,7}}:",
            "::",
        ]
    ),
    "uuid": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "uri": rf"[a-zA-Z][a-zA-Z0-9+.-]{{0,30}}:(?://{_HOST}(?::[0-9]{{1,4}})?{_PATH}|{_UNRESERVED}+{_PATH}){_TAIL}",
    "uri-reference": rf"(?:[a-zA-Z][a-zA-Z0-9+.-]{{0,30}}://{_HOST}(?::[0-9]{{1,4}})?{_PATH}|/?(?:{_SEGMENT}{_PATH})?){_TAIL}",
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(?:0|[1-9][0-9]{{0,8}})(?:\#|{_POINTER})",
}

NUMERIC_FORMATS = frozenset({"int32", "int64", "float", "double", "decimal", "uint32", "uint64"})
"""Formats OpenAPI gives to numbers; the first two are enforced as bounds, the others say nothing testable."""
