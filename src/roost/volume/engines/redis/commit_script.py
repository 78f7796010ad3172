"""The one script that commits: first it verifies, then it writes; it never fails in between.

KEYS and ARGV are walked in order; the first keys are the client's tokens and its fence.
ARGV: the fence, the token's slot and number; verifications; `.`; changes.  Each begins with a
letter (see `script_words` for who writes them).  KEYS left over at the end are records that clients
cache: touching them again makes the server track them for this client, which our own write ended.

Answers: {0, …} done, with a value per change that has one; {1, n} verification n does not hold;
{2, key} the key cannot take what would be written; {3} the fence is another's.

Times are 12 bytes, i64 seconds and u32 nanoseconds, compared by parts: strings would be compared by
the server's locale.  Lengths stay strings, since numbers of Lua are exact to 2^53 only.
"""

import hashlib

_FUNCTIONS = """
local function later(a, b)
  if a == b then return false end
  local a1, a2, a3 = struct.unpack('>i4I4I4', a)
  local b1, b2, b3 = struct.unpack('>i4I4I4', b)
  if a1 ~= b1 then return a1 > b1 end
  if a2 ~= b2 then return a2 > b2 end
  return a3 > b3
end
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
local function links(stored, by)
  local count = struct.unpack('>I4', stored) + by
  if count < 0 then count = 0 end
  return struct.pack('>I4', count)
end
local function whole(v)
  if #v < 71 then v = string.sub(v, 1, 63) .. string.rep('\\0', 8) end
  if #v == 71 then v = v .. '\\0' end
  return v
end
local function is_number(v)
  return not v or (#v <= 18 and string.find(v, '^%-?%d+$') ~= nil)
end
local call = redis.call
local k, p = 2, 4
call('HLEN', KEYS[1])
if call('GET', KEYS[2]) ~= ARGV[1] then return {3} end
"""

_VERIFY = """
local at = 0
while true do
  local op = ARGV[p]
  if op == '.' then break end
  at = at + 1
  k = k + 1
  local key = KEYS[k]
  local holds = true
  if op == 'identity' then
    local v = call('GET', key)
    holds = v and string.sub(v, 1, 11) .. string.sub(v, 64) == ARGV[p + 1]
    p = p + 2
  elseif op == 'no field' then
    holds = not call('HGET', key, ARGV[p + 1])
    p = p + 2
  elseif op == 'field' then
    holds = call('HGET', key, ARGV[p + 1]) == ARGV[p + 2]
    p = p + 3
  elseif op == 'value' then
    holds = call('GET', key) == ARGV[p + 1]
    p = p + 2
  elseif op == 'absent' then
    holds = call('EXISTS', key) == 0
    p = p + 1
  elseif op == 'present' then
    holds = call('EXISTS', key) == 1
    p = p + 1
  elseif op == 'number' then
    if not is_number(call('GET', key)) then return {2, key} end
    p = p + 1
  elseif op == 'numbers' then
    if not is_number(call('HGET', key, ARGV[p + 1])) then return {2, key} end
    p = p + 2
  elseif op == 'type' then
    local kind = call('TYPE', key).ok
    if kind ~= 'none' and kind ~= ARGV[p + 1] then return {2, key} end
    p = p + 2
  elseif op == 'new' then
    if call('EXISTS', key) == 1 then return {2, key} end
    p = p + 1
  elseif op == 'list' then
    local count = tonumber(ARGV[p + 1])
    holds = call('LLEN', key) == count
      and table.concat(call('LRANGE', key, 0, -1)) == ARGV[p + 2]
    p = p + 3
  elseif op == 'list begins' then
    local count = tonumber(ARGV[p + 1])
    holds = call('LLEN', key) >= count
      and (count == 0 or table.concat(call('LRANGE', key, 0, count - 1)) == ARGV[p + 2])
    p = p + 3
  elseif op == 'hash' then
    local count = tonumber(ARGV[p + 1])
    holds = call('HLEN', key) == count
    for i = 1, count do
      holds = holds and call('HGET', key, ARGV[p + 2 * i]) == ARGV[p + 2 * i + 1]
    end
    p = p + 2 + 2 * count
  elseif op == 'set' then
    local count = tonumber(ARGV[p + 1])
    holds = call('SCARD', key) == count
    for i = 1, count do
      holds = holds and call('SISMEMBER', key, ARGV[p + 1 + i]) == 1
    end
    p = p + 2 + count
  elseif op == 'score' then
    local v = call('ZSCORE', key, ARGV[p + 1])
    holds = v and tonumber(v) == tonumber(ARGV[p + 2])
    p = p + 3
  elseif op == 'no score' then
    holds = not call('ZSCORE', key, ARGV[p + 1])
    p = p + 2
  elseif op == 'fields' then
    holds = call('HLEN', key) == tonumber(ARGV[p + 1])
    p = p + 2
  else
    return redis.error_reply('ERR unknown verification')
  end
  if not holds then return {1, at} end
end
p = p + 1
"""

_CHANGE_NODE = """
local function changed(v, count)
  v = whole(v)
  local head, tail = string.sub(v, 1, 23), string.sub(v, 60)
  local mtime, ctime = string.sub(v, 24, 35), string.sub(v, 36, 47)
  local nlink, length = string.sub(v, 48, 51), string.sub(v, 52, 59)
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
    elseif what == 'identity' then head = x .. string.sub(head, 12)
    elseif what == 'atime' then head = string.sub(head, 1, 11) .. x
    elseif what == 'parent' then tail = string.sub(tail, 1, 4) .. x .. string.sub(tail, 13)
    elseif what == 'rest' then tail = string.sub(tail, 1, 12) .. x
    end
  end
  return head .. mtime .. ctime .. nlink .. length .. tail
end
"""

_WRITE = """
local done = {0}
local count = #ARGV
call('HSET', KEYS[1], ARGV[2], ARGV[3])
while p <= count do
  local op = ARGV[p]
  k = k + 1
  local key = KEYS[k]
  if op == 'touch' then
    local v = whole(call('GET', key))
    local time = ARGV[p + 2]
    local mtime, ctime, nlink = string.sub(v, 24, 35), string.sub(v, 36, 47), string.sub(v, 48, 51)
    if later(time, mtime) then mtime = time end
    if later(time, ctime) then ctime = time end
    if ARGV[p + 1] ~= '0' then nlink = links(nlink, tonumber(ARGV[p + 1])) end
    v = string.sub(v, 1, 23) .. mtime .. ctime .. nlink .. string.sub(v, 52)
    call('SET', key, v)
    done[#done + 1] = v
    p = p + 3
  elseif op == 'change' then
    local pairs_ = tonumber(ARGV[p + 1])
    p = p + 2
    local v = changed(call('GET', key), pairs_)
    call('SET', key, v)
    done[#done + 1] = v
  elseif op == 'set' then
    call('SET', key, ARGV[p + 1])
    p = p + 2
  elseif op == 'hset' then
    call('HSET', key, ARGV[p + 1], ARGV[p + 2])
    p = p + 3
  elseif op == 'incr' then
    call('INCRBY', key, ARGV[p + 1])
    p = p + 2
  elseif op == 'use' then
    local length, inodes = KEYS[k + 1], KEYS[k + 2]
    k = k + 2
    local field = ARGV[p + 1]
    if call('HEXISTS', key, field) == 1 then
      if ARGV[p + 2] ~= '0' then call('HINCRBY', key, field, ARGV[p + 2]) end
      if ARGV[p + 3] ~= '0' then call('HINCRBY', length, field, ARGV[p + 3]) end
      if ARGV[p + 4] ~= '0' then call('HINCRBY', inodes, field, ARGV[p + 4]) end
      done[#done + 1] = 1
    else
      done[#done + 1] = 0
    end
    p = p + 5
  elseif op == 'hdel' then
    call('HDEL', key, ARGV[p + 1])
    p = p + 2
  elseif op == 'del' then
    call('DEL', key)
    p = p + 1
  elseif op == 'hincr' then
    call('HINCRBY', key, ARGV[p + 1], ARGV[p + 2])
    p = p + 3
  elseif op == 'push' then
    local n = tonumber(ARGV[p + 1])
    for i = 1, n do call('RPUSH', key, ARGV[p + 1 + i]) end
    p = p + 2 + n
  elseif op == 'replace' then
    local n = tonumber(ARGV[p + 2])
    call('LTRIM', key, ARGV[p + 1], -1)
    for i = n, 1, -1 do call('LPUSH', key, ARGV[p + 2 + i]) end
    p = p + 3 + n
  elseif op == 'zadd' then
    call('ZADD', key, ARGV[p + 2], ARGV[p + 1])
    p = p + 3
  elseif op == 'zrem' then
    call('ZREM', key, ARGV[p + 1])
    p = p + 2
  elseif op == 'sadd' then
    call('SADD', key, ARGV[p + 1])
    p = p + 2
  elseif op == 'srem' then
    call('SREM', key, ARGV[p + 1])
    p = p + 2
  elseif op == 'forget' then
    local v = call('HGET', key, ARGV[p + 1])
    if v and tonumber(v) < 0 then call('HDEL', key, ARGV[p + 1]) end
    p = p + 2
  elseif op == 'quota' then
    local space, inodes = KEYS[k + 1], KEYS[k + 2]
    k = k + 2
    local field = ARGV[p + 1]
    local there = call('HEXISTS', inodes, field) == 1
    if not there and ARGV[p + 4] ~= '' then
      call('HSETNX', key, field, ARGV[p + 4])
      there = true
    end
    if there then
      call('HINCRBY', space, field, ARGV[p + 2])
      call('HINCRBY', inodes, field, ARGV[p + 3])
    end
    p = p + 5
  elseif op == 'unlock' then
    k = k + 1
    call('HDEL', key, ARGV[p + 1])
    local held = false
    for _, field in ipairs(call('HKEYS', key)) do
      if string.sub(field, 1, #ARGV[p + 2]) == ARGV[p + 2] then held = true end
    end
    if not held then call('SREM', KEYS[k], key) end
    p = p + 3
  elseif op == 'raise' then
    local v = call('GET', key)
    if not v or tonumber(v) < tonumber(ARGV[p + 1]) then call('SET', key, ARGV[p + 1]) end
    p = p + 2
  end
end
for i = k + 1, #KEYS do call('EXISTS', KEYS[i]) end
return done
"""

COMMIT_SCRIPT = _FUNCTIONS + _VERIFY + _CHANGE_NODE + _WRITE
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
