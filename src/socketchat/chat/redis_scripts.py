"""How a log lies in Redis: keys, records, and the scripts that alone write and read them.

A room has four keys, all with the room's name as their hash tag:

- `log`, a stream: entry N has the id `N-0`, its record in msgpack as `r` and the size of its body
  as `s`.
- `head`, a hash: number and time of the last entry (`head`, `at`), and of the last that may be seen
  (`held`, `held_at`): they differ while replicas are waited for.
- `lanes`, a hash: of each lane its mark (19 digits), number and time of its last entry (16 each)
  and the key of its first one.
- `news`, a stream of one entry, whose id is `held`: what servers wait for.

Beside them each lane has a key, for an hour: the server at which its author was let in last.

Besides there are `rooms`, a set of the rooms' names, `version`, and `touch`, which is written only
so that something is, and the facts about people (`redis_facts.py`). Lua's numbers are exact up to
2**53: marks, which may be greater, are compared as texts of 19 digits.

It knows no connection.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Sequence
from typing import Final

from socketchat.chat.log import Draft
from socketchat.chat.records import encode

__all__ = [
    "ADD",
    "APPEND",
    "AT",
    "BEFORE",
    "FORGET",
    "MAX_NUMBER",
    "PAGE",
    "PREFIX",
    "PRUNE",
    "PUBLISH",
    "SCRIPTS",
    "SPAN",
    "TAKE",
    "TAKEN",
    "VERSION",
    "Keys",
    "Script",
    "as_digits",
    "check_version",
    "pack",
]

#: The version of what is written here.
VERSION: Final = 1
#: The greatest number and time that Lua can tell from the next.
MAX_NUMBER: Final = 2**53 - 1
#: What all keys begin with, unless it is given.
PREFIX: Final = "socketchat"


class Script:
    """A script, and how it is called.

    Attributes:
        source: The script.
        sha: By which the server knows it.
    """

    def __init__(self, source: str) -> None:
        self.source: str = source.strip()
        self.sha: str = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def __call__(
        self, keys: Sequence[str], *args: str | bytes | int
    ) -> tuple[str | bytes | int, ...]:
        """Return the command that runs it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)


class Keys:
    """The names of keys.

    Args:
        prefix: What all of them begin with.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.rooms: str = f"{prefix}:rooms"
        self.servers: str = f"{prefix}:servers"
        self.touch: str = f"{prefix}:touch"
        self.version: str = f"{prefix}:version"

    def room(self, name: str) -> tuple[str, str, str, str]:
        """Return `log`, `head`, `lanes` and `news` of a room."""
        # A brace would end the hash tag, or begin it elsewhere; an empty one would be none.
        tag = name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D") or "%"
        stem = f"{self._prefix}:{{{tag}}}"
        return f"{stem}:log", f"{stem}:head", f"{stem}:lanes", f"{stem}:news"

    def taken(self, room: str, lane: bytes) -> str:
        """Return the key of the server that has a lane."""
        return f"{self.room(room)[2]}:{lane.hex()}"

    def facts(self, kind: str) -> str:
        """Return the key of all facts of a kind."""
        return f"{self._prefix}:facts:{kind}"

    def wake(self, server: str) -> str:
        """Return the key by which a server wakes its own reader."""
        return f"{self._prefix}:wake:{server}"


def check_version(version: bytes, shown: str) -> None:
    """Check that a log is one that this version can read and write.

    Args:
        version: What its key holds.
        shown: Where it is.

    Raises:
        OSError: It is not; `strerror` says why.
    """
    if not version.isdigit() or int(version) > VERSION:
        text = "it was written by a newer version of socketchat: update this one"
        raise OSError(errno.ENOTSUP, text, shown)


def as_digits(number: int) -> str:
    """Return a lane's number as the scripts compare it."""
    return f"{number:019}"


# Of a record (`records.py`) the script makes the beginning: the array's header, number and time,
# eight bytes each.
_HEADER: Final = 1  # of an array of up to 15


def pack(lane: bytes, draft: Draft) -> bytes:
    """Return the part of a record that does not depend on its place.

    Raises:
        ValueError: A text holds what is no character (surrogates).
    """
    fields = (lane, draft.number, draft.body, draft.sender, draft.to, draft.to_id, draft.key)
    return encode(fields)[_HEADER:]


# Up to Redis 6.2 a script that reads the clock may write only if its effects are replicated, and
# not itself.
_EFFECTS: Final = "if redis.replicate_commands then redis.replicate_commands() end"

# Functions that scripts share; each call makes them anew, so a script has but those that it needs.
_PLACE: Final = """
local function text(number) return string.format('%.0f', number) end
local function id(number) return text(number) .. '-0' end
local function place(key) -- number and time of the last entry, and of the last that may be seen
  local h = redis.call('HMGET', key, 'head', 'at', 'held', 'held_at')
  return tonumber(h[1] or 0), tonumber(h[2] or 0), tonumber(h[3] or 0), tonumber(h[4] or 0)
end
"""
_NOW: Final = """
local function now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
"""
_FIND: Final = """
local function number_of(item) return tonumber((string.gsub(item[1], '-0$', ''))) end
local function record(item) return item[2][4] end
local function time_in(item) return (struct.unpack('>I8', record(item), 12)) end
local function time_of(log, number) -- nil if it is not held
  local found = redis.call('XRANGE', log, id(number), id(number))
  return found[1] and time_in(found[1])
end
local function first(log) -- number of the first entry that is held, or nil
  local found = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)
  return found[1] and number_of(found[1])
end
local function last_older(log, floor, held, at) -- number of the last entry older than a time
  local low, high = floor - 1, held
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    local found = redis.call('XRANGE', log, id(middle), id(held), 'COUNT', 1)
    if found[1] and time_in(found[1]) < at then low = middle else high = middle - 1 end
  end
  return low
end
"""

#: The mark of an append that was not made, since the one that must be there is not.
MISSING: Final = b"-"
#: The mark of an append that was not made, since another server has taken the lane over.
TAKEN: Final = b"taken"

#: Appends what authors say to one room: of each append all drafts that are new, or nothing.
#:
#: Keys: log, head, lanes, news, and of each append that of the server that has the lane. Arguments:
#: 1 if it may be seen at once; the time, or nothing for that of Redis; the server; how many
#: microseconds it is later than the entry before if the clock is behind that, at random, so that
#: no other entry that had the same number in a log that was lost has the same time; and of each
#: append the mark that must be there, the lane, its key, how many drafts there are, and of each the
#: number, the body's size, the record. Returns, as a text: the time of the new entries, that of the
#: entry before them, and the last number that may be seen; and of each append the mark, `MISSING`
#: or `TAKEN`, the number of the lane's last entry and the first new number, or 0.
APPEND: Final = Script(f"""
{_EFFECTS}
{_PLACE}
{_NOW}
local log, head, lanes, news = unpack(KEYS, 1, 4)
local servers = redis.call('MGET', unpack(KEYS, 5))
local names, known, changed, told = {{}}, {{}}, {{}}, {{}}
local i = 5
while i <= #ARGV do
  names[#names + 1] = ARGV[i + 1]
  i = i + 4 + 3 * ARGV[i + 3]
end
for n, lane in ipairs(redis.call('HMGET', lanes, unpack(names))) do known[names[n]] = lane end
local number, at, held = place(head)
local before, stamp = at, nil
i = 5
while i <= #ARGV do
  local lane, first = ARGV[i + 1], 0
  local mark, last, owner = '0000000000000000000', 0, ARGV[i + 2]
  if known[lane] then
    local found = known[lane]
    mark, last, owner = found:sub(1, 19), tonumber(found:sub(20, 35)), found:sub(52)
  end
  local drafts = i + 4
  i = drafts + 3 * ARGV[i + 3]
  local server = servers[#told + 1]
  if server and server ~= ARGV[3] then
    mark = '{TAKEN.decode()}'
  elseif mark < ARGV[drafts - 4] then
    mark = '{MISSING.decode()}'
  else
    for j = drafts, i - 1, 3 do
      if ARGV[j] > mark then
        if not stamp then
          local time = now(ARGV[2])
          at = time < at and at + tonumber(ARGV[4]) or time
          stamp = '\\207' .. struct.pack('>I8', at)
        end
        mark = ARGV[j]
        number = number + 1
        if first == 0 then first = number end
        local record = '\\153\\207' .. struct.pack('>I8', number) .. stamp .. ARGV[j + 2]
        redis.call('XADD', log, id(number), 's', ARGV[j + 1], 'r', record)
      end
    end
    if first > 0 then
      last = number
      known[lane] = mark .. string.format('%016.0f%016.0f', last, at) .. owner
      changed[lane] = known[lane]
    end
  end
  told[#told + 1] = mark .. ' ' .. text(last) .. ' ' .. text(first)
end
if stamp then
  local fields = {{}}
  for lane, value in pairs(changed) do
    fields[#fields + 1] = lane
    fields[#fields + 1] = value
  end
  redis.call('HSET', lanes, unpack(fields))
  if ARGV[1] == '1' then
    held = number
    redis.call('HSET', head, 'head', text(number), 'at', text(at), 'held', text(number),
      'held_at', text(at))
    redis.call('XADD', news, 'MAXLEN', 1, id(number), 'n', '')
  else
    redis.call('HSET', head, 'head', text(number), 'at', text(at))
  end
end
return table.concat({{text(at), text(before), text(held), unpack(told)}}, ' ')
""")

#: Takes a lane over: other servers append nothing to it any more.
#:
#: Keys: head, lanes, and that of the server that has the lane. Arguments: the lane; the server; the
#: seconds for which that is kept. Returns what is kept of the lane, if anything is, and the number
#: of the last entry that may be seen. It does not take it where there is no memory left: others can
#: append nothing then either.
TAKE: Final = Script("""
local head, lanes, taken = unpack(KEYS)
if redis.call('GET', taken) ~= ARGV[2] then redis.pcall('SET', taken, ARGV[2], 'EX', ARGV[3]) end
return {redis.call('HGET', lanes, ARGV[1]) or '', redis.call('HGET', head, 'held') or '0'}
""")

#: Lets entries be seen.
#:
#: Keys: log, head, news. Arguments: the number of the last one.
PUBLISH: Final = Script(f"""
{_PLACE}
{_FIND}
local log, head, news = unpack(KEYS)
local number, at, held = place(head)
local last = tonumber(ARGV[1])
if last <= held or last > number then return 0 end
if last < number then at = time_of(log, last) or at end
redis.call('HSET', head, 'held', text(last), 'held_at', text(at))
redis.call('XADD', news, 'MAXLEN', 1, id(last), 'n', '')
return 1
""")

#: Tells from where to where a room's log reaches.
#:
#: Keys: log, head. Returns, as a text: the floor, number and time of the last entry that may be
#: seen, and the number of the last one.
SPAN: Final = Script(f"""
{_PLACE}
{_FIND}
local number, _, held, held_at = place(KEYS[2])
local floor = first(KEYS[1]) or number + 1
return table.concat({{text(floor), text(held), text(held_at), text(number)}}, ' ')
""")

#: Tells the time of an entry.
#:
#: Keys: log, head. Arguments: its number. Returns it as a text, empty if it is not held.
AT: Final = Script(f"""
{_PLACE}
{_FIND}
local number, _, _, held = tonumber(ARGV[1]), place(KEYS[2])
local at = number <= held and time_of(KEYS[1], number)
return at and text(at) or ''
""")

#: Finds the last entry that is older than a time.
#:
#: Keys: log, head. Arguments: the time. Returns its number as a text.
BEFORE: Final = Script(f"""
{_PLACE}
{_FIND}
local number, _, held = place(KEYS[2])
local floor = first(KEYS[1]) or number + 1
return text(last_older(KEYS[1], floor, math.max(held, floor - 1), tonumber(ARGV[1])))
""")

#: Reads the entries behind a place.
#:
#: Keys: log, head. Arguments: the number of the place; its time, or nothing if that is not to be
#: compared; the most entries; the size of bodies with which it ends. Returns whether the log goes
#: on from the place without a gap, the number of the last entry that may be seen, the number of the
#: last one, how many records there are, and these, joined.
PAGE: Final = Script(f"""
{_PLACE}
{_FIND}
local log, head = unpack(KEYS)
local after, limit, size = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local number, at, held = place(head)
local goes_on = 1
if ARGV[2] ~= '' and after > 0 then
  local expected = tonumber(ARGV[2])
  if after > number then
    goes_on = 0
  else
    local theirs = after == number and at or time_of(log, after)
    if theirs then
      if theirs ~= expected then goes_on = 0 end
    elseif at < expected or (first(log) or number + 1) > after + 1 then
      goes_on = 0
    end
  end
end
local records, from, step = {{}}, after + 1, 4
while goes_on == 1 and from <= held and #records < limit and size > 0 do
  local count = math.min(step, limit - #records)
  local found = redis.call('XRANGE', log, id(from), id(held), 'COUNT', count)
  local taken = 0
  for _, item in ipairs(found) do
    if size <= 0 then break end
    records[#records + 1] = record(item)
    taken = taken + tonumber(item[2][2])
    size = size - tonumber(item[2][2])
  end
  if #found < count then break end
  from = number_of(found[#found]) + 1
  -- The next ones are about as long: as many as fit.
  step = math.max(1, math.min(256, math.ceil(size / math.max(taken / #found, 1))))
end
return {{goes_on, text(held), text(number), #records, table.concat(records)}}
""")

#: Lets go of entries that are too old.
#:
#: Keys: log, head. Arguments: the time, or nothing for that of Redis; for how long they are kept;
#: the most entries to take. Returns how many went, the floor then, and the time.
PRUNE: Final = Script(f"""
{_EFFECTS}
{_PLACE}
{_NOW}
{_FIND}
local log, head = unpack(KEYS)
local number, _, held = place(head)
local time = now(ARGV[1])
local floor = first(log) or number + 1
local last = last_older(log, floor, math.max(held, floor - 1), time - tonumber(ARGV[2]))
last = math.min(last, floor + tonumber(ARGV[3]) - 1)
local gone = 0
if last >= floor then gone = redis.call('XTRIM', log, 'MINID', id(last + 1)) end
return {{gone, text(math.max(floor, last + 1)), text(time)}}
""")

#: Lets go of some lanes that have no entries and were silent for long.
#:
#: Keys: lanes. Arguments: where to go on, the log's floor, the time before which they spoke last.
#: Returns where to go on, 0 at the end.
FORGET: Final = Script(f"""
{_EFFECTS}
local floor, before = tonumber(ARGV[2]), tonumber(ARGV[3])
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 100)
for i = 1, #found[2], 2 do
  local lane = found[2][i + 1]
  if tonumber(lane:sub(20, 35)) < floor and tonumber(lane:sub(36, 51)) < before then
    redis.call('HDEL', KEYS[1], found[2][i])
  end
end
return found[1]
""")

#: Keeps a fact unless there is one.
#:
#: Keys: facts. Arguments: the subject, the value. Returns the value that there is then.
ADD: Final = Script("""
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 then return ARGV[2] end
return redis.call('HGET', KEYS[1], ARGV[1])
""")

SCRIPTS: Final = (APPEND, TAKE, PUBLISH, SPAN, AT, BEFORE, PAGE, PRUNE, FORGET, ADD)
