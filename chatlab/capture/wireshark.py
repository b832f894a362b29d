r"""A tape as a capture that Wireshark opens, and a Wireshark dissector for our binary protocol.

A tape holds bytes, not packets, so the packets around them are synthetic: a handshake, sequence numbers,
acknowledgements, checksums, segments of at most 1448 bytes, a timestamp in each. Clients are 10.0.0.1, the server is
10.0.0.2; the times are the tape's. The tape has to hold a conversation from its first byte, or HTTP/2's headers cannot
be decoded.

    tshark -r chat.pcapng -d tcp.port==50051,http2 -o 'uat:protobuf_search_paths:"chatlab/proto","TRUE"' \
        -o protobuf.preload_protos:TRUE
    tshark -r chat.pcapng -X lua_script:chatlab.lua

The dissector is Lua, generated from the same table as the codec, so the two agree about every field. It recognises a
conversation by its preface, on any port.
"""

import struct
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from ..codecs.binary import FLAG, HAS_TAG, MESSAGE_TYPES, SHAPE, BinaryCodec
from ..messages import Arrived, Message, Request
from .layers import SEGMENT
from .traffic import AnyChunk

SERVER = bytes((10, 0, 0, 2))
FIRST_CLIENT_PORT = 40_001
PORTS_OF_A_CLIENT = 65_536 - FIRST_CLIENT_PORT
FIN, SYN, PSH, ACK = 0x01, 0x02, 0x08, 0x10
RAW_IP = 101  # link type: packets begin with the IP header
BINARY_PORT = 2432


def to_pcapng(path: str | Path, tape: Iterable[AnyChunk], port: int = 50051, start_ns: int = 0) -> Path:
    """Write a tape, whose chunks are (at_s, connection, direction, data), as a pcapng capture; returns its path.

    `port` is the port that the server has in the capture; `start_ns` is when the tape began, in nanoseconds since 1970.
    """
    path = Path(path)
    path.write_bytes(pcapng(tape, port, start_ns))
    return path


def pcapng(tape: Iterable[AnyChunk], port: int = 50051, start_ns: int = 0) -> bytes:
    """The bytes of the capture that `to_pcapng` writes."""
    comment = _option(1, b"Made by chatlab from a tape of bytes: addresses, handshakes and packets are made up.")
    blocks = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + comment + _option(0))]
    nanoseconds = _option(9, b"\x09")
    blocks.append(_block(1, struct.pack("<HHI", RAW_IP, 0, 0) + nanoseconds + _option(0)))
    for at_s, packet in packets(tape, port):
        at_ns = start_ns + round(at_s * 1e9)  # exact: the seconds since 1970 as a float would be good to 240 ns only
        head = struct.pack("<IIIII", 0, at_ns >> 32, at_ns & 0xFFFF_FFFF, len(packet), len(packet))
        blocks.append(_block(6, head + _padded(packet)))
    return b"".join(blocks)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# ---- packets around bytes ---------------------------------------------------------------------------------------


def packets(tape: Iterable[AnyChunk], port: int) -> Iterator[tuple[float, bytes]]:
    """(at_s, an IPv4 packet) for everything that must have passed for these chunks to be received."""
    streams: dict[int, _Stream] = {}
    at_s = 0.0
    packet_ids = count(1)
    for at_s, connection, direction, data in tape:
        if connection not in streams:
            streams[connection] = _Stream(connection, port, packet_ids)
            yield from ((at_s, packet) for packet in streams[connection].handshake(at_s))
        for at in range(0, len(data), SEGMENT):
            piece = data[at : at + SEGMENT]
            last = at + SEGMENT >= len(data)
            yield at_s, streams[connection].packet(direction, ACK | PSH * last, piece, at_s)
    for stream in streams.values():
        yield from ((at_s, packet) for packet in stream.closing(at_s))


class _Stream:
    """One TCP connection: its two ends, and how many bytes each has sent."""

    def __init__(self, connection: int, server_port: int, packet_ids: Iterator[int]):
        # Each client address has so many ports; further connections come from further clients, 10.0.1.1 and so on.
        client, number = divmod(connection - 1, PORTS_OF_A_CLIENT)
        client_address = bytes((10, client >> 8 & 0xFF, client & 0xFF, 1))
        client_port = FIRST_CLIENT_PORT + number
        self.ports = {"up": (client_port, server_port), "down": (server_port, client_port)}
        self.addresses = {"up": client_address + SERVER, "down": SERVER + client_address}
        self.next = {"up": 1_000_000, "down": 2_000_000}
        self.packet_ids = packet_ids

    def handshake(self, at_s: float) -> Iterator[bytes]:
        yield self.packet("up", SYN, b"", at_s)
        yield self.packet("down", SYN | ACK, b"", at_s)
        yield self.packet("up", ACK, b"", at_s)

    def closing(self, at_s: float) -> Iterator[bytes]:
        yield self.packet("up", FIN | ACK, b"", at_s)
        yield self.packet("down", FIN | ACK, b"", at_s)
        yield self.packet("up", ACK, b"", at_s)

    def packet(self, direction: str, flags: int, data: bytes, at_s: float) -> bytes:
        other = "down" if direction == "up" else "up"
        acknowledged = self.next[other] if flags & ACK else 0
        stamp = round(at_s * 1000) & 0xFFFF_FFFF
        options = struct.pack(">BBBBII", 1, 1, 8, 10, stamp, stamp if flags & ACK else 0)
        if flags & SYN:
            options = struct.pack(">BBH", 2, 4, SEGMENT + 12) + options
        head = struct.pack(
            ">HHII", *self.ports[direction], self.next[direction] & 0xFFFF_FFFF, acknowledged & 0xFFFF_FFFF
        )
        head += struct.pack(">BBHHH", (20 + len(options)) // 4 << 4, flags, 65_535, 0, 0) + options
        self.next[direction] += len(data) + bool(flags & (SYN | FIN))
        return self.ip_packet(direction, head + data)

    def ip_packet(self, direction: str, segment: bytes) -> bytes:
        addresses = self.addresses[direction]
        check = _checksum(addresses + struct.pack(">BBH", 0, 6, len(segment)) + segment)
        segment = segment[:16] + struct.pack(">H", check) + segment[18:]
        packet_id = next(self.packet_ids) & 0xFFFF
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), packet_id, 0x4000, 64, 6, 0) + addresses
        return head[:10] + struct.pack(">H", _checksum(head)) + head[12:] + segment


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): the complement of the one's complement sum of 16-bit words."""
    number = int.from_bytes(data + bytes(len(data) % 2))
    total = number % 0xFFFF  # sums the digits of base 2**16 with their carries, all at once
    return 0xFFFF ^ (total or (0xFFFF if number else 0))


# ---- a dissector for Wireshark ----------------------------------------------------------------------------------

#: How the Lua code names the types of fields.
_KIND = {
    int: "number",
    str: "text",
    tuple[int, ...]: "numbers",
    tuple[str, ...]: "texts",
    tuple[Arrived, ...]: "letters",
}


def lua_dissector(port: int = BINARY_PORT) -> str:
    """A dissector for the binary protocol, as the text of a Lua file for Wireshark's plugin folder.

    It recognises a conversation that the capture holds from its beginning; others it reads at this port.
    """
    known = {_lua_name(name, kind): (name, kind) for message in MESSAGE_TYPES for name, kind in SHAPE[message][0]}
    known |= {name: (name, kind) for name, kind in SHAPE[Arrived][0]}  # of a letter in a list
    fields = [_lua_field(key, name, kind) for key, (name, kind) in known.items()]
    flags = sorted({flag for message in MESSAGE_TYPES if (flag := SHAPE[message][1])})
    fields += [f'  {flag} = ProtoField.bool("chatlab.{flag}", "{flag}"),' for flag in flags]
    messages = [_lua_message(number, message) for number, message in enumerate(MESSAGE_TYPES)]
    parts = {
        "PREFACE": "".join(f"\\{byte:03d}" for byte in BinaryCodec.preface),
        "PORT": port,
        "HAS_TAG": HAS_TAG,
        "FLAG": FLAG,
        "FIELDS": "\n".join(fields),
        "MESSAGES": "\n".join(messages),
        "NAMES": ", ".join(f'[{number}] = "{message.__name__}"' for number, message in enumerate(MESSAGE_TYPES)),
    }
    text = _LUA
    for word, value in parts.items():
        text = text.replace(f"@{word}@", str(value))
    return text


def _lua_name(name: str, kind: object) -> str:
    """What a field is called in a filter. Two messages have an `after`: of one it is a name, of the other a number."""
    kinds = {of for message in MESSAGE_TYPES for other, of in SHAPE[message][0] if other == name}
    return f"{name}_{_KIND[kind]}" if kind is int and len(kinds) > 1 else name


def _lua_field(key: str, name: str, kind: object) -> str:
    of = "int64" if kind in (int, tuple[int, ...]) else "string"
    return f'  {key} = ProtoField.{of}("chatlab.{key}", "{name}"),'


def _lua_message(number: int, message: type[Message]) -> str:
    shape, flag = SHAPE[message]
    fields = ", ".join(f'{{"{name}", "{_KIND[kind]}", "{_lua_name(name, kind)}"}}' for name, kind in shape)
    flag = "request_id" if issubclass(message, Request) and "request_id" in message.__annotations__ else flag
    return f'  [{number}] = {{name = "{message.__name__}", flag = "{flag}", fields = {{{fields}}}}},'


_LUA = r"""-- Made by chatlab from the table of its binary codec; do not edit. Put it into Wireshark's plugin
-- folder, or:
--   tshark -r chat.pcapng -X lua_script:chatlab.lua
local chatlab = Proto("chatlab", "chatlab's binary protocol")
local names = {@NAMES@}
local messages = {
@MESSAGES@
}
local fields = {
  preface = ProtoField.bytes("chatlab.preface", "preface"),
  length = ProtoField.int64("chatlab.length", "length"),
  message = ProtoField.uint8("chatlab.message", "message", base.DEC, names, 0x3f),
  tag = ProtoField.int64("chatlab.tag", "tag"),
  request_id = ProtoField.string("chatlab.request_id", "request_id"),
  size = ProtoField.int64("chatlab.size", "length of a field"),
  elements = ProtoField.int64("chatlab.elements", "count of a list"),
@FIELDS@
}
chatlab.fields = fields
local unreadable = ProtoExpert.new("chatlab.unreadable", "not a message", expert.group.MALFORMED, expert.severity.ERROR)
chatlab.experts = {unreadable}
local seq, stream = Field.new("tcp.seq"), Field.new("tcp.stream")
local PREFACE = "@PREFACE@"  -- what a client sends first
local servers = {}  -- by TCP stream, the server's port, where a preface has told it

-- A whole number that begins at `at`, and where it ends; nil where it is not whole.
local function varint(tvb, at, stop)
  local number = Int64.new(0)
  for i = 0, 9 do
    if at + i >= stop then return nil end
    local digit = tvb(at + i, 1):uint()
    number = number:bor(Int64.new(digit % 128):lshift(7 * i))
    if digit < 128 then return number, at + i + 1 end
  end
  return nil
end

-- A frame being read: `at` is where, `stop` is its end. Each of these adds what it has read to the tree.
local Frame = {}
Frame.__index = Frame

function Frame:number(field, label)
  local number, stop = varint(self.tvb, self.at, self.stop)
  if not number then error({label = label}) end
  self.tree:add(field, self.tvb(self.at, stop - self.at), number):set_text(label .. ": " .. tostring(number))
  self.at = stop
  return number:tonumber()
end

function Frame:text(field, label, size)
  size = size or self:number(fields.size, "length of " .. label)
  if size < 0 or self.at + size > self.stop then error({label = label}) end
  if size > 0 then
    local range = self.tvb(self.at, size)
    self.tree:add_packet_field(field, range, ENC_UTF_8 + ENC_STRING):set_text(label .. ": " .. range:string(ENC_UTF_8))
  end
  self.at = self.at + size
end

function Frame:letter(label)
  self:number(fields.number, label .. " number")
  self:text(fields.sender, label .. " sender")
  if self.at >= self.stop then error({label = label}) end
  local range = self.tvb(self.at, 1)
  local returned = range:uint() == 1
  self.tree:add(fields.returned, range, returned):set_text(label .. " returned: " .. tostring(returned))
  self.at = self.at + 1
  self:text(fields.text, label .. " text")
end

function Frame:element(kind, field, label)
  if kind == "numbers" then self:number(field, label)
  elseif kind == "texts" then self:text(field, label)
  else self:letter(label) end
end

function Frame:field(name, kind, field, last)
  if kind == "number" then self:number(field, name)
  elseif kind == "text" then self:text(field, name, last and self.stop - self.at or nil)
  elseif last then
    local index = 0
    while self.at < self.stop do
      self:element(kind, field, name .. "[" .. index .. "]")
      index = index + 1
    end
  else
    for index = 0, self:number(fields.elements, "count of " .. name) - 1 do
      self:element(kind, field, name .. "[" .. index .. "]")
    end
  end
end

function Frame:message()
  self:number(fields.length, "length")
  local range = self.tvb(self.at, 1)
  local kind = range:uint()
  local message = messages[kind % 64]
  if not message then error({label = "message " .. kind % 64}) end
  self.name = message.name
  self.tree:add(fields.message, range):set_text("message: " .. message.name)
  local flagged = kind >= @FLAG@
  if message.flag ~= "" and message.flag ~= "request_id" then
    self.tree:add(fields[message.flag], range, flagged):set_text(message.flag .. ": " .. tostring(flagged))
  end
  self.at = self.at + 1
  if kind % @FLAG@ >= @HAS_TAG@ then self:number(fields.tag, "tag") end
  if flagged and message.flag == "request_id" then self:text(fields.request_id, "request_id") end
  for index, field in ipairs(message.fields) do
    self:field(field[1], field[2], fields[field[3]], index == #message.fields)
  end
end

local function more(pinfo, at, wanted)
  pinfo.desegment_offset = at
  pinfo.desegment_len = wanted or DESEGMENT_ONE_MORE_SEGMENT
end

function chatlab.init()
  servers = {}
end

function chatlab.dissector(tvb, pinfo, root)
  pinfo.cols.protocol = "chatlab"
  local at, size, names = 0, tvb:len(), {}
  local to_server = pinfo.dst_port == (servers[stream().value] or pinfo.match_uint)
  if to_server and tvb:raw(0, math.min(size, #PREFACE)) == PREFACE:sub(1, size) then
    if size < #PREFACE then more(pinfo, 0, #PREFACE - size) return size end
    root:add(chatlab, tvb(0, #PREFACE), "chatlab preface"):add(fields.preface, tvb(0, #PREFACE))
    at = #PREFACE
  end
  while at < size do
    local length, start = varint(tvb, at, size)
    if not length then more(pinfo, at) return size end
    local stop = start + length:tonumber()
    if stop > size then more(pinfo, at, stop - size) return size end
    local tree = root:add(chatlab, tvb(at, stop - at), "chatlab")
    local frame = setmetatable({tvb = tvb, at = at, stop = stop, tree = tree, name = "?"}, Frame)
    local fine, wrong = pcall(Frame.message, frame)
    if not fine then
      local where = type(wrong) == "table" and wrong.label or wrong
      tree:add_proto_expert_info(unreadable, "unreadable: " .. tostring(where))
    end
    tree:set_text("chatlab " .. frame.name)
    names[#names + 1] = frame.name
    at = stop
  end
  pinfo.cols.info = table.concat(names, " ") .. " "
  return size
end

-- Take a conversation on any port that begins with our preface, even if that comes in pieces.
local function begins_with_preface(tvb, pinfo, root)
  local size = math.min(tvb:len(), #PREFACE)
  if size == 0 or seq().value ~= 1 or tvb:raw(0, size) ~= PREFACE:sub(1, size) then return false end
  servers[stream().value] = pinfo.dst_port
  pinfo.conversation = chatlab
  chatlab.dissector(tvb, pinfo, root)
  return true
end

chatlab:register_heuristic("tcp", begins_with_preface)
DissectorTable.get("tcp.port"):add(@PORT@, chatlab)
"""
