"""The WSDL, generated from the same tables as the parser: sequences in the vendor's order, all types inline."""

from __future__ import annotations

from functools import lru_cache

from adapters.billing.kareo_tebra.simulator.schema import NO_SLASH, SLASH, Member, Shape
from adapters.billing.kareo_tebra.simulator.types import OPERATIONS, SCHEMA

_PREFIXES = {SLASH: "k", NO_SLASH: "f"}
_SIMPLE = {"toggle": "boolean"}
_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<wsdl:definitions name="KareoServices" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" '
    'xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
    f'xmlns:k="{SLASH}" xmlns:f="{NO_SLASH}" targetNamespace="{SLASH}">'
)


@lru_cache(maxsize=4)
def wsdl(endpoint: str) -> bytes:
    """The service's WSDL 1.1 with its address."""
    binding = "".join(_binding_operation(name) for name in OPERATIONS)
    return (
        f"{_ENVELOPE}<wsdl:types>{_schema(SLASH)}{_schema(NO_SLASH)}</wsdl:types>"
        + "".join(_messages(name) for name in OPERATIONS)
        + f'<wsdl:portType name="KareoServices">{"".join(_port_operation(name) for name in OPERATIONS)}</wsdl:portType>'
        + '<wsdl:binding name="BasicHttpBinding_KareoServices" type="k:KareoServices">'
        + f'<soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>{binding}</wsdl:binding>'
        + '<wsdl:service name="KareoServices"><wsdl:port name="BasicHttpBinding_KareoServices" '
        + f'binding="k:BasicHttpBinding_KareoServices"><soap:address location="{endpoint}"/></wsdl:port></wsdl:service>'
        + "</wsdl:definitions>"
    ).encode()


def _schema(namespace: str) -> str:
    other = NO_SLASH if namespace == SLASH else SLASH
    types = "".join(_complex_type(shape) for shape in SCHEMA.shapes.values() if shape.namespace == namespace)
    shared = ""
    if namespace == SLASH:
        shared = "".join(_enumeration(name, values) for name, values in SCHEMA.enumerations.items())
        shared += "".join(_array(item) for item in SCHEMA.array_items())
        shared += "".join(_elements(name) for name in OPERATIONS)
    return (
        f'<xs:schema elementFormDefault="qualified" targetNamespace="{namespace}">'
        f'<xs:import namespace="{other}"/>{types}{shared}</xs:schema>'
    )


def _complex_type(shape: Shape) -> str:
    sequence = f"<xs:sequence>{''.join(_member(member) for member in shape.own)}</xs:sequence>"
    if shape.base:
        base = f'<xs:extension base="{_reference(shape.base)}">{sequence}</xs:extension>'
        sequence = f'<xs:complexContent mixed="false">{base}</xs:complexContent>'
    return f'<xs:complexType name="{shape.name}">{sequence}</xs:complexType>'


def _member(member: Member) -> str:
    kind = f"k:ArrayOf{member.type_name}" if member.many else _reference(member.type_name)
    simple = member.type_name not in SCHEMA.shapes and member.type_name != "string"
    nillable = "" if simple and member.required else ' nillable="true"'
    return f'<xs:element minOccurs="{1 if member.required else 0}" name="{member.name}"{nillable} type="{kind}"/>'


def _reference(type_name: str) -> str:
    shape = SCHEMA.shapes.get(type_name)
    if shape:
        return f"{_PREFIXES[shape.namespace]}:{type_name}"
    return f"k:{type_name}" if type_name in SCHEMA.enumerations else f"xs:{_SIMPLE.get(type_name, type_name)}"


def _array(item: str) -> str:
    element = (
        f'<xs:element minOccurs="0" maxOccurs="unbounded" name="{item}" nillable="true" type="{_reference(item)}"/>'
    )
    return f'<xs:complexType name="ArrayOf{item}"><xs:sequence>{element}</xs:sequence></xs:complexType>'


def _enumeration(name: str, values: tuple[str, ...]) -> str:
    members = "".join(f'<xs:enumeration value="{value}"/>' for value in values)
    return f'<xs:simpleType name="{name}"><xs:restriction base="xs:string">{members}</xs:restriction></xs:simpleType>'


def _elements(operation: str) -> str:
    parameter = OPERATIONS[operation].parameters[0]
    return _wrapper(operation, parameter, f"{operation}Req") + _wrapper(
        f"{operation}Response", f"{operation}Result", f"{operation}Resp"
    )


def _wrapper(name: str, member: str, type_name: str) -> str:
    element = f'<xs:element minOccurs="0" name="{member}" nillable="true" type="{_reference(type_name)}"/>'
    sequence = f"<xs:complexType><xs:sequence>{element}</xs:sequence></xs:complexType>"
    return f'<xs:element name="{name}">{sequence}</xs:element>'


def _messages(operation: str) -> str:
    return (
        f'<wsdl:message name="{operation}In"><wsdl:part name="parameters" element="k:{operation}"/></wsdl:message>'
        f'<wsdl:message name="{operation}Out">'
        f'<wsdl:part name="parameters" element="k:{operation}Response"/></wsdl:message>'
    )


def _port_operation(operation: str) -> str:
    return (
        f'<wsdl:operation name="{operation}"><wsdl:input message="k:{operation}In"/>'
        f'<wsdl:output message="k:{operation}Out"/></wsdl:operation>'
    )


def _binding_operation(operation: str) -> str:
    return (
        f'<wsdl:operation name="{operation}">'
        f'<soap:operation soapAction="{SLASH}KareoServices/{operation}" style="document"/>'
        '<wsdl:input><soap:body use="literal"/></wsdl:input><wsdl:output><soap:body use="literal"/></wsdl:output>'
        "</wsdl:operation>"
    )
