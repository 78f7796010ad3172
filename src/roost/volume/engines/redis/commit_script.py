"""The one script that commits: first it verifies, then it writes; it never fails in between.

KEYS: what the client caches and the commit writes.  They are read again at the end, which makes the
server track them for this client: our own write has ended that.  While a script runs, Redis 7.0
notes all its KEYS as tracked with each read, so other keys are named in ARGV; except in a cluster,
where all must be in KEYS, so that a slot on its way elsewhere is found before the first write.
ARGV: the fence, the token's slot and number, the program, all keys, and the program's operands.
The keys are the client's tokens, its fence, those of strings (read by one MGET), and the others.
The program begins with the numbers of strings and of keys, two bytes each.  Then it has three bytes
a step: the word, and two of the key's place, which counts from the front for strings, and from the
back plus 2^15 for others.  First verifications, up to `done`; then changes, up to the end.

Answers: {0, …} done, with a value for each change that has one; {1, n} verification n fails;
{2, key} the key cannot take what would be written; {3} the fence is another's.

Times are 12 bytes, i64 seconds and u32 nanoseconds, compared by parts: strings would be compared by
the server's locale.  Lengths stay strings, since numbers of Lua are exact to 2^53 only.
Statistics of directories are written by pcall: a broken one is no reason to refuse a file.
"""

import hashlib
import re

# The words of the program, by number; the fields of a node's change use words of their own.
_WORDS = (
    "done",
    # verifications: what must be so
    "identity", "value", "absent", "present", "number", "new",
    "field", "no_field", "exists", "not_exists", "type", "field_number", "list", "list_begins",
    "hash", "set_is", "score", "no_score", "hash_size", "stat", "none_exist",
    # changes
    "touch", "change", "set", "raise", "incr", "del",
    "hset", "hdel", "hincr", "push", "replace", "zadd", "zrem", "sadd", "srem", "forget",
    "unlock", "unlock_all", "quota", "use", "stat_set", "stat_del",
    # of many keys at once, named among the operands
    "set_many", "hset_many", "push_many",
)  # fmt: skip
CODES = {word: number for number, word in enumerate(_WORDS)}
FROM_BACK = 1 << 15

_FUNCTIONS = """
local call, pcall_, byte, sub = redis.call, redis.pcall, string.byte, string.sub
local ARGV, program = ARGV, ARGV[4]
local strings, last = struct.unpack('>I2I2', program)
local values = call('MGET', unpack(ARGV, 6, strings + 6))
if values[1] ~= ARGV[1] then return {3} end
local absent = {}
for i = 2, strings + 1 do
  if not values[i] then absent[#absent + 1] = ARGV[i + 5] end
end
if #absent > 0 and call('EXISTS', unpack(absent)) > 0 then
  for _, key in ipairs(absent) do
    if call('EXISTS', key) == 1 then return {2, key} end
  end
end
local function later(a, b)
  if a == b then return false end
  local a1, a2, a3 = struct.unpack('>i4I4I4', a)
  local b1, b2, b3 = struct.unpack('>i4I4I4', b)
  if a1 ~= b1 then return a1 > b1 end
  if a2 ~= b2 then return a2 > b2 end
  return a3 > b3
end
local function whole(v)
  if #v < 71 then v = sub(v, 1, 63) .. string.rep('\\0', 8) end
  if #v == 71 then v = v .. '\\0' end
  return v
end
local function links(stored, by)
  local count = struct.unpack('>I4', stored) + by
  if count < 0 then count = 0 end
  return struct.pack('>I4', count)
end
local function is_number(v)
  return not v or (#v <= 18 and string.find(v, '^%-?%d+$') ~= nil)
end
local step, p, at, back = 5, last + 5, 0, last + 32772
local stats = {}
"""

_VERIFY = """
while true do
  local op, high, low = byte(program, step, step + 2)
  step = step + 3
  if op == $done then break end
  at = at + 1
  local place = high * 256 + low
  local holds
  if place < 32768 then
    local v = values[place - 1]
    if op == $identity then
      holds = v and sub(v, 1, 11) .. sub(v, 64) == ARGV[p]
      p = p + 1
    elseif op == $value then
      holds = v == ARGV[p]
      p = p + 1
    elseif op == $absent then
      holds = not v
    elseif op == $present then
      holds = v
    elseif op == $number then
      if not is_number(v) then return {2, ARGV[place + 4]} end
      holds = true
    elseif op == $new then
      if v then return {2, ARGV[place + 4]} end
      holds = true
    end
  else
    local key = ARGV[back - place]
    if op == $no_field then
      holds = not call('HGET', key, ARGV[p])
      p = p + 1
    elseif op == $field then
      holds = call('HGET', key, ARGV[p]) == ARGV[p + 1]
      p = p + 2
    elseif op == $stat then
      local v = call('HGET', key, ARGV[p])
      if not is_number(v) then return {2, key} end
      stats[ARGV[p]] = v
      holds = true
      p = p + 1
    elseif op == $field_number then
      if not is_number(call('HGET', key, ARGV[p])) then return {2, key} end
      holds = true
      p = p + 1
    elseif op == $type then
      local kind = call('TYPE', key).ok
      if kind ~= 'none' and kind ~= ARGV[p] then return {2, key} end
      holds = true
      p = p + 1
    elseif op == $exists or op == $not_exists then
      holds = (call('EXISTS', key) == 1) == (op == $exists)
    elseif op == $list then
      holds = call('LLEN', key) == tonumber(ARGV[p])
        and table.concat(call('LRANGE', key, 0, -1)) == ARGV[p + 1]
      p = p + 2
    elseif op == $list_begins then
      local count = tonumber(ARGV[p])
      holds = call('LLEN', key) >= count
        and (count == 0 or table.concat(call('LRANGE', key, 0, count - 1)) == ARGV[p + 1])
      p = p + 2
    elseif op == $hash then
      local count = tonumber(ARGV[p])
      holds = call('HLEN', key) == count
      for i = p + 1, p + 2 * count, 2 do
        holds = holds and call('HGET', key, ARGV[i]) == ARGV[i + 1]
      end
      p = p + 1 + 2 * count
    elseif op == $set_is then
      local count = tonumber(ARGV[p])
      holds = call('SCARD', key) == count
      for i = p + 1, p + count do
        holds = holds and call('SISMEMBER', key, ARGV[i]) == 1
      end
      p = p + 1 + count
    elseif op == $score then
      local v = call('ZSCORE', key, ARGV[p])
      holds = v and tonumber(v) == tonumber(ARGV[p + 1])
      p = p + 2
    elseif op == $no_score then
      holds = not call('ZSCORE', key, ARGV[p])
      p = p + 1
    elseif op == $hash_size then
      holds = call('HLEN', key) == tonumber(ARGV[p])
      p = p + 1
    elseif op == $none_exist then
      local last_key = p + tonumber(ARGV[p])
      if call('EXISTS', unpack(ARGV, p + 1, last_key)) > 0 then
        for i = p + 1, last_key do
          if call('EXISTS', ARGV[i]) == 1 then return {2, ARGV[i]} end
        end
      end
      holds = true
      p = last_key + 1
    end
  end
  if not holds then return {1, at} end
end
"""

_CHANGE_NODE = """
local function longer(a, b)
  local a1, a2 = struct.unpack('>I4I4', a)
  local b1, b2 = struct.unpack('>I4I4', b)
  if a1 ~= b1 then return a1 > b1 end
  return a2 > b2
end
local function next_ns(time)
  local high, low, ns = struct.unpack('>I4I4I4', time)
  ns = ns + 1
  if ns == 1000000000 then ns = 0; low = low + 1 end
  if low == 4294967296 then low = 0; high = high + 1 end
  return struct.pack('>I4I4I4', high, low, ns)
end
local function changed(v, count)
  v = whole(v)
  local head, tail = sub(v, 1, 23), sub(v, 60)
  local mtime, ctime, nlink, length = sub(v, 24, 35), sub(v, 36, 47), sub(v, 48, 51), sub(v, 52, 59)
  local before = mtime
  for _ = 1, count do
    local what, x = ARGV[p], ARGV[p + 1]
    p = p + 2
    if what == 'mtime at least' then if later(x, mtime) then mtime = x end
    elseif what == 'ctime at least' then if later(x, ctime) then ctime = x end
    elseif what == 'nlink by' then nlink = links(nlink, tonumber(x))
    elseif what == 'mtime' then mtime = x
    elseif what == 'data time' then
      mtime = x
      if x == before then mtime = next_ns(x) end
    elseif what == 'length' then length = x
    elseif what == 'length at least' then if longer(x, length) then length = x end
    elseif what == 'identity' then head = x .. sub(head, 12)
    elseif what == 'atime' then head = sub(head, 1, 11) .. x
    elseif what == 'parent' then tail = sub(tail, 1, 4) .. x .. sub(tail, 13)
    elseif what == 'rest' then tail = sub(tail, 1, 12) .. x
    end
  end
  return head .. mtime .. ctime .. nlink .. length .. tail
end
"""

_WRITE = """
local done = {0}
call('HSET', ARGV[5], ARGV[2], ARGV[3])
while true do
  local op, high, low = byte(program, step, step + 2)
  step = step + 3
  if op == $done then break end
  local place = high * 256 + low
  if place < 32768 then
    local key = ARGV[place + 4]
    if op == $touch then
      local v, time = whole(values[place - 1]), ARGV[p + 1]
      local mtime, ctime, nlink = sub(v, 24, 35), sub(v, 36, 47), sub(v, 48, 51)
      local same = mtime == ctime
      if later(time, mtime) then mtime = time end
      if same then ctime = mtime elseif later(time, ctime) then ctime = time end
      if ARGV[p] ~= '0' then nlink = links(nlink, tonumber(ARGV[p])) end
      v = sub(v, 1, 23) .. mtime .. ctime .. nlink .. sub(v, 52)
      call('SET', key, v)
      values[place - 1] = v
      done[#done + 1] = v
      p = p + 2
    elseif op == $change then
      local count = tonumber(ARGV[p])
      p = p + 1
      local v = changed(values[place - 1], count)
      call('SET', key, v)
      values[place - 1] = v
      done[#done + 1] = v
    elseif op == $set then
      call('SET', key, ARGV[p])
      values[place - 1] = ARGV[p]
      p = p + 1
    elseif op == $incr then
      call('INCRBY', key, ARGV[p])
      p = p + 1
    elseif op == $del then
      call('DEL', key)
    elseif op == $raise then
      local v = values[place - 1]
      if not v or tonumber(v) < tonumber(ARGV[p]) then call('SET', key, ARGV[p]) end
      p = p + 1
    end
  else
    local from = back - place
    local key = ARGV[from]
    if op == $hset then
      call('HSET', key, ARGV[p], ARGV[p + 1])
      p = p + 2
    elseif op == $use then
      local field = ARGV[p]
      if stats[field] then
        local result = 1
        for i = 0, 2 do
          local by = ARGV[p + 1 + i]
          if by ~= '0' then
            local r = pcall_('HINCRBY', ARGV[from - i], field, by)
            if type(r) == 'table' then result = 2 end
          end
        end
        done[#done + 1] = result
      else
        done[#done + 1] = 0
      end
      p = p + 4
    elseif op == $hdel then
      call('HDEL', key, ARGV[p])
      p = p + 1
    elseif op == $del then
      call('DEL', key)
    elseif op == $stat_set then
      for i = 0, 2 do pcall_('HSET', ARGV[from - i], ARGV[p], ARGV[p + 1 + i]) end
      p = p + 4
    elseif op == $stat_del then
      pcall_('HDEL', key, ARGV[p])
      p = p + 1
    elseif op == $hincr then
      call('HINCRBY', key, ARGV[p], ARGV[p + 1])
      p = p + 2
    elseif op == $push then
      local n = tonumber(ARGV[p])
      for i = p + 1, p + n do call('RPUSH', key, ARGV[i]) end
      p = p + 1 + n
    elseif op == $replace then
      local n = tonumber(ARGV[p + 1])
      call('LTRIM', key, ARGV[p], -1)
      for i = p + 1 + n, p + 2, -1 do call('LPUSH', key, ARGV[i]) end
      p = p + 2 + n
    elseif op == $zadd then
      call('ZADD', key, ARGV[p + 1], ARGV[p])
      p = p + 2
    elseif op == $zrem then
      call('ZREM', key, ARGV[p])
      p = p + 1
    elseif op == $sadd then
      call('SADD', key, ARGV[p])
      p = p + 1
    elseif op == $srem then
      call('SREM', key, ARGV[p])
      p = p + 1
    elseif op == $forget then
      local v = call('HGET', key, ARGV[p])
      if v and tonumber(v) < 0 then call('HDEL', key, ARGV[p]) end
      p = p + 1
    elseif op == $unlock then
      call('HDEL', key, ARGV[p])
      local held = false
      for _, field in ipairs(call('HKEYS', key)) do
        if sub(field, 1, #ARGV[p + 1]) == ARGV[p + 1] then held = true end
      end
      if not held then call('SREM', ARGV[from - 1], key) end
      p = p + 2
    elseif op == $unlock_all then
      for _, field in ipairs(call('HKEYS', key)) do
        if sub(field, 1, #ARGV[p]) == ARGV[p] then call('HDEL', key, field) end
      end
      call('SREM', ARGV[from - 1], key)
      p = p + 1
    elseif op == $quota then
      local space, inodes, field = ARGV[from - 1], ARGV[from - 2], ARGV[p]
      local there = call('HEXISTS', inodes, field) == 1
      if not there and ARGV[p + 3] ~= '' then
        call('HSETNX', key, field, ARGV[p + 3])
        there = true
      end
      if there then
        call('HINCRBY', space, field, ARGV[p + 1])
        call('HINCRBY', inodes, field, ARGV[p + 2])
      end
      p = p + 4
    elseif op == $set_many or op == $hset_many or op == $push_many then
      local last_word = p + tonumber(ARGV[p])
      if op == $set_many then call('MSET', unpack(ARGV, p + 1, last_word))
      elseif op == $hset_many then call('HSET', key, unpack(ARGV, p + 1, last_word))
      else
        local i = p + 1
        while i < last_word do
          local last_record = i + 1 + tonumber(ARGV[i + 1])
          for j = i + 2, last_record do call('RPUSH', ARGV[i], ARGV[j]) end
          i = last_record + 1
        end
      end
      p = last_word + 1
    end
  end
end
if #KEYS > 0 then call('EXISTS', unpack(KEYS)) end
return done
"""

COMMIT_SCRIPT = re.sub(
    r"\$(\w+)",
    lambda found: str(CODES[found[1]]),
    _FUNCTIONS + _VERIFY + _CHANGE_NODE + _WRITE,
)
COMMIT_SHA = hashlib.sha1(COMMIT_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# An entry and the attributes of what it names.  Inodes above 2^53 (the trash's) have no exact
# number in Lua; their attributes are asked for afterwards.
LOOKUP_SCRIPT = """
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry or #entry ~= 9 then return {entry, false, 0} end
local high, low = struct.unpack('>I4I4', string.sub(entry, 2))
if high >= 2097152 then return {entry, false, 0} end
local ino = string.format('%.0f', high * 4294967296 + low)
return {entry, redis.call('GET', ARGV[2] .. ino), 1}
"""
LOOKUP_SHA = hashlib.sha1(LOOKUP_SCRIPT.encode(), usedforsecurity=False).hexdigest()
