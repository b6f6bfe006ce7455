"""The implementation guide 005010X222A1 as this clearinghouse applies it (section 2): loops, segments, elements.

Loops of rare claims (ambulance, paramedic equipment, spinal manipulation ...) are known by their segments only.
"""

from __future__ import annotations

from adapters.billing.x12_837p.simulator.grammar import LoopRule, read_guide

_FILING = "11,12,13,14,15,16,17,AM,BL,CH,CI,DS,FI,HM,LM,MA,MB,MC,OF,TV,VA,WC,ZZ"
_LEVELS = "P,S,T,A,B,C,D,E,F,G,H,U"
_PERSON = "an60! an35 an25 - an10"
_PROVIDER = f"{_PERSON} XX an2-80 | P0809"
_ADDRESS = "N3 {0}1 an55! an55\nN4 {0}1 an2-30! an2-2 an3-15 an2-3 - - an3"
_CONTACT = "an60 EM,FX,TE! an256! EM,EX,FX,TE an256 EM,EX,FX,TE an256 | P0506 P0708"
_SECONDARY = "0B,1G,G2,LU"


def _each(pattern: str, codes: str) -> str:
    """One line for each code."""
    return "\n".join(pattern.format(code) for code in codes.split())


def _indent(text: str, depth: int) -> str:
    return "\n".join(" " * depth + line for line in text.splitlines())


def _provider_loop(loop: str, repeats: str, qualifier: str, kinds: str = "1", *, extra: str = "") -> str:
    lines = f"NM1 R1 ={qualifier}! {kinds}! {_PROVIDER}\n{extra}REF S20 ={_SECONDARY}! an50!\nPER S1 =IC! {_CONTACT}"
    return f"> {loop} {repeats}\n{_indent(lines, 2)}"


_SPECIALTY = "PRV S1 =PE! PXC! an50!\n"
_PLACE = _ADDRESS.format("R") + "\n"

_OTHER_DIAGNOSES = " ".join(["[ABF,BF! an3-30!]"] * 11)

_IN_CLAIM = f"""
CLM R1 an38! r18! - - [an1-2! B! 1,7,8!]! N,Y! A,B,C! N,W,Y! I,Y! P [AA,EM,OA! AA,EM,OA - an2 an2-3] 02,03,05,09 ...
{_each("DTP S1 ={}! D8! when!", "431 454 304 453 439 484 455 471 297 296 435 096 444 050")}
DTP S1 =314,360,361! D8,RD8! when!
DTP S2 =090,091! D8! when!
PWK S10 an2! an1-2! - - AC an2-80 | P0506
CN1 S1 an2! r18 r6 an50 r6 an30
AMT S1 =F5! r18!
{_each("REF S1 ={}! an50!", "4N F5 EW 9F G1 F8 X4 9A 9C LX D9 EA P4 1J")}
K3 S10 an80!
NTE S1 =ADD,CER,DCP,DGN,TPO! an80!
CR1 S1 ...
CR2 S1 ...
CRC S3 =07! ...
CRC S3 =E1,E2,E3! ...
CRC S1 =75! ...
CRC S1 =ZZ! ...
HI R1 =[ABK,BK! an3-30!]! {_OTHER_DIAGNOSES}
HI S1 =[BP! an30!]! [BO! an30!]
HI S2 =[BG! an30!]! ...
HCP S1 ...
{_provider_loop("2310A", "S2", "DN,P3")}
{_provider_loop("2310B", "S1", "82", "1,2", extra=_SPECIALTY)}
{_provider_loop("2310C", "S1", "77", "2", extra=_PLACE)}
{_provider_loop("2310D", "S1", "DQ")}
{_provider_loop("2310E", "S1", "PW", "2", extra=_PLACE)}
{_provider_loop("2310F", "S1", "45", "2", extra=_PLACE)}
> 2320 S10
  SBR R1 {_LEVELS}! 01,18,19,20,21,39,40,53,G8! an50 an60 12,13,14,15,16,41,42,43,47 - - - {_FILING}
  CAS S5 CO,CR,OA,PI,PR! an5! r18! r15 an5 r18 r15 an5 r18 r15 an5 r18 r15 an5 r18 r15 an5 r18 r15
  AMT S1 =D! r18!
  AMT S1 =A8! r18!
  AMT S1 =EAF! r18!
  OI R1 - - N,W,Y! P - I,Y!
  MOA S1 r10 r18 an50 an50 an50 an50 an50 r18 r18
  > 2330A R1
    NM1 R1 =IL! 1,2! {_PERSON} II,MI! an2-80!
{_indent(_ADDRESS.format("S"), 4)}
    REF S2 =SY! an50!
  > 2330B R1
    NM1 R1 =PR! 2! an60! - - - - PI,XV! an2-80!
{_indent(_ADDRESS.format("S"), 4)}
    DTP S1 =573! D8! when!
    REF S2 =2U,EI,FY,NF! an50!
{_indent(_each("REF S1 ={}! an50!", "G1 9F T4 F8"), 4)}
{_indent(_provider_loop("2330C", "S2", "DN,P3"), 2)}
{_indent(_provider_loop("2330D", "S1", "82", "1,2"), 2)}
{_indent(_provider_loop("2330E", "S1", "77", "2"), 2)}
{_indent(_provider_loop("2330F", "S1", "DQ"), 2)}
{_indent(_provider_loop("2330G", "S1", "85", "1,2"), 2)}
> 2400 R50
  LX R1 n6!
  SV1 R1 [HC,ER,IV,WK! an48! an2-2 an2-2 an2-2 an2-2 an80]! r18! MJ,UN! r15! an1-2 - [n2! n2 n2 n2]! - Y - Y Y - - 0
  SV5 S1 ...
  PWK S10 ...
  CR1 S1 ...
  CR3 S1 ...
  CRC S5 ...
  DTP R1 =472! D8,RD8! when!
  DTP S5 =471,607,463,461,304,738,739,011,455,454! D8,RD8! when!
  QTY S2 =PT,FL! r15!
  MEA S5 ...
  CN1 S1 ...
{_indent(_each("REF S1 ={}! an50!", "9B 9D 6R EW X4 F4 BT"), 2)}
  REF S5 =G1! an50! - [2U! an50!]
  REF S5 =9F! an50! - [2U! an50!]
  AMT S1 =T! r18!
  AMT S1 =F4! r18!
  K3 S10 an80!
  NTE S1 =ADD,DCP! an80!
  NTE S1 =TPO! an80!
  PS1 S1 ...
  HCP S1 ...
  > 2410 S1
    LIN R1 - N4! an48!
    CTP R1 - - - r15! [F2,GR,ME,ML,UN!]!
    REF S1 =VY,XZ! an50!
{_indent(_provider_loop("2420A", "S1", "82", "1,2", extra=_SPECIALTY), 2)}
{_indent(_provider_loop("2420B", "S1", "QB", "1,2"), 2)}
{_indent(_provider_loop("2420C", "S1", "77", "2", extra=_PLACE), 2)}
{_indent(_provider_loop("2420D", "S1", "DQ"), 2)}
{_indent(_provider_loop("2420E", "S1", "DK", extra=_ADDRESS.format("S") + chr(10)), 2)}
{_indent(_provider_loop("2420F", "S2", "DN,P3"), 2)}
{_indent(_provider_loop("2420G", "S1", "PW", "2", extra=_PLACE), 2)}
{_indent(_provider_loop("2420H", "S1", "45", "2", extra=_PLACE), 2)}
  > 2430 S15
    SVD R1 an2-80! r18! [ER,HC,IV,WK! an48! an2-2 an2-2 an2-2 an2-2 an80]! - r15! n6
    CAS S5 CO,CR,OA,PI,PR! an5! r18! r15 an5 r18 r15 an5 r18 r15 an5 r18 r15 an5 r18 r15 an5 r18 r15
    DTP R1 =573! D8! when!
    AMT S1 =EAF! r18!
"""
_CLAIM = f"> 2300 S100\n{_indent(_IN_CLAIM.strip(), 2)}"
"""What belongs to one claim, below the subscriber or the patient."""

_TEXT = f"""
ST R1 837! an4-9! 005010X222A1!
BHT R1 0019! 00,18! an50! date! time! 31,CH,RP!
> 1000A R1
  NM1 R1 =41! 1,2! an60! an35 an25 - - 46! an2-80!
  PER R2 =IC! {_CONTACT}
> 1000B R1
  NM1 R1 =40! 2! an60! - - - - 46! an2-80!
> 2000A R0
  HL R1 an12! - =20! 1!
  PRV S1 =BI! PXC! an50!
  CUR S1 =85! an3!
  > 2010AA R1
    NM1 R1 =85! 1,2! {_PROVIDER}
{_indent(_ADDRESS.format("R"), 4)}
    REF R1 =EI,SY! an50!
    REF S2 =0B,1G! an50!
    PER S2 =IC! {_CONTACT}
  > 2010AB S1
    NM1 R1 =87! 1,2!
{_indent(_ADDRESS.format("R"), 4)}
  > 2010AC S1
    NM1 R1 =PE! 2! an60! - - - - PI,XV! an2-80!
{_indent(_ADDRESS.format("R"), 4)}
    REF S2 =2U,EI,FY,NF! an50!
  > 2000B R0
    HL R1 an12! an12! =22! 0,1!
    SBR R1 {_LEVELS}! 18 an50 an60 12,13,14,15,16,41,42,43,47 - - - {_FILING}!
    PAT S1 - - - - D8 when 01 r10 Y | P0506 P0708
    > 2010BA R1
      NM1 R1 =IL! 1,2! {_PERSON} II,MI an2-80 | P0809
{_indent(_ADDRESS.format("S"), 6)}
      DMG S1 D8! date! F,M,U!
      REF S1 =SY! an50!
      REF S1 =Y4! an50!
      PER S1 =IC! {_CONTACT}
    > 2010BB R1
      NM1 R1 =PR! 2! an60! - - - - PI,XV! an2-80!
{_indent(_ADDRESS.format("S"), 6)}
      REF S3 =2U,EI,FY,NF! an50!
      REF S2 =G2,LU! an50!
{_indent(_CLAIM, 4)}
    > 2000C S0
      HL R1 an12! an12! =23! 0!
      PAT R1 01,19,20,21,39,40,53,G8! - - - D8 when 01 r10 Y | P0506 P0708
      > 2010CA R1
        NM1 R1 =QC! 1! {_PERSON}
{_indent(_ADDRESS.format("R"), 8)}
        DMG R1 D8! date! F,M,U!
        REF S1 =Y4! an50!
        REF S1 =1W,SY! an50!
        PER S1 =IC! {_CONTACT}
{_indent(_CLAIM, 6)}
SE R1 n10! an4-9!
"""

PROFESSIONAL_CLAIM: LoopRule = read_guide(_TEXT, "ST_LOOP")
"""The tree of an 837P transaction."""

ELEMENT_NUMBERS = {
    "ST": (143, 329, 1705),
    "BHT": (1005, 353, 127, 373, 337, 640),
    "NM1": (98, 1065, 1035, 1036, 1037, 1038, 1039, 66, 67),
    "PER": (366, 93, 365, 364, 365, 364, 365, 364),
    "HL": (628, 734, 735, 736),
    "PRV": (1221, 128, 127),
    "N3": (166, 166),
    "N4": (19, 156, 116, 26, 309, 310, 1715),
    "REF": (128, 127, 352),
    "SBR": (1138, 1069, 127, 93, 1336, 1143, 1073, 584, 1032),
    "PAT": (1069, 1384, 584, 1220, 1250, 1251, 355, 81, 1073),
    "DMG": (1250, 1251, 1068),
    "CLM": (1028, 782, 1032, 1343, None, 1073, 1359, 1073, 1363, 1351),
    "DTP": (374, 1250, 1251),
    "AMT": (522, 782),
    "NTE": (363, 352),
    "LX": (554,),
    "SV1": (None, 782, 355, 380, 1331, 1365, None, 782, 1073),
    "LIN": (350, 235, 234),
    "CTP": (687, 236, 212, 380),
    "SVD": (67, 782, None, 234, 380),
    "CAS": (1033, 1034, 782, 380),
    "SE": (96, 329),
}
"""X12 data element numbers for IK402, where the acknowledgment tells them."""
