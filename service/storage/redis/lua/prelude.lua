-- Stands before every script; `driftline:{m:MODEL}:` is KEYS[1], from which the names of all keys of the model are made.
--
-- ARGV[1] is what is given, as msgpack; ARGV[2] is the ticket of a write, empty for a read; ARGV[3] is the time, empty for
-- the server's own; then the blobs, to which what is given refers by number. Times are stamps: twenty digits that sort as
-- the times do, since numbers of Lua end at 2^53.

local call = redis.call
local given = cmsgpack.unpack(ARGV[1])
local TICKETS_KEPT_MS = 300000
local keeps_ticket = true
local STAMP_CHARS = 20
local PANE_CHARS = 2 * STAMP_CHARS
local ARGUMENTS = 3

local function key(name)
  return KEYS[1] .. name
end

local function blob(number)
  return ARGV[ARGUMENTS + number]
end

local function now()
  if ARGV[3] ~= '' then
    return ARGV[3]
  end
  local time = call('TIME')
  return string.format('1%013d%06d', tonumber(time[1]), tonumber(time[2]))
end

local function later(at, us)
  local seconds, rest = tonumber(string.sub(at, 2, 14)), tonumber(string.sub(at, 15)) + us
  return string.format('1%013d%06d', seconds + math.floor(rest / 1000000), rest % 1000000)
end

-- A number that has never been in this field of a hash, also where the last ones were lost with a failover or are not in a
-- backup: the time in microseconds, or one more than was there.

local function drawn(hash, field, known)
  local last = math.max(tonumber(call('HGET', hash, field) or 0), known or 0)
  local number = string.format('%.0f', math.max(last + 1, tonumber(string.sub(now(), 2))))
  call('HSET', hash, field, number)
  return number
end

-- A pane is named SERIES/START+WINDOW, two stamps; so panes of a series lie side by side, in order.

local function series_of(pane)
  return string.sub(pane, 1, -PANE_CHARS - 2)
end

local function window_of(pane)
  return string.sub(pane, -PANE_CHARS / 2)
end

local function panes_between(series, first, last)
  return call('ZRANGEBYLEX', key('panes'), '[' .. series .. '/' .. first, '(' .. series .. '/' .. last)
end

local function begin_pane(pane)
  if call('ZADD', key('panes'), 0, pane) == 1 then
    call('SADD', key('series'), series_of(pane))
    call('HSET', key('folds'), pane, drawn(key('row'), 'folds'))
  end
end

local function drop_pane(pane)
  call('ZREM', key('panes'), pane)
  call('HDEL', key('rows'), pane)
  call('HDEL', key('late'), pane)
  call('HDEL', key('folds'), pane)
  call('SREM', key('summed'), pane)
  call('SREM', key('unfolded'), pane)
  call('UNLINK', key('payloads:' .. pane))
  local series = series_of(pane)
  if #call('ZRANGEBYLEX', key('panes'), '[' .. series .. '/', '(' .. series .. '0', 'LIMIT', 0, 1) == 0 then
    call('SREM', key('series'), series)
  end
end

local function rows_of(series, first, last)
  local total = 0
  for _, pane in ipairs(panes_between(series, first, last)) do
    total = total + tonumber(call('HGET', key('rows'), pane))
  end
  return total
end

local function role_is_held(fence)
  local role = call('HMGET', key('role'), 'fence', 'until')
  return role[1] == fence and role[2] > now()
end

-- Revisions stand before the documents, as digits and a colon.

local function revision_of(text)
  return text and tonumber(string.match(text, '^(%d+):')) or 0
end

local function alert_and_episodes_stand()
  if given.alert and revision_of(call('HGET', key('alerts'), given.alert.key)) ~= given.alert.revision then
    return false
  end
  for _, episode in ipairs(given.episodes) do
    if revision_of(call('HGET', key('episodes'), episode.id)) ~= episode.revision then
      return false
    end
  end
  return true
end

local function put_alert_and_episodes()
  if given.alert then
    local text = string.format('%d:', given.alert.revision + 1) .. given.alert.document
    call('HSET', key('alerts'), given.alert.key, text)
  end
  for _, episode in ipairs(given.episodes) do
    local before = call('HGET', key('episodes'), episode.id)
    local number = before and string.match(before, '^%d+:(%d+):') or episode.number
    local ended = call('HGET', key('versions'), episode.version .. '/evaluated') or episode.opened
    if ended < episode.opened then
      ended = episode.opened
    end
    if before then
      local old = string.match(before, '^%d+:%d+:[01]:%d+:[^:]*:(%d+):') .. number .. '/' .. episode.id
      call('ZREM', key('episode_order'), old)
      call('ZREM', key('episodes_open'), old)
    end
    local place = episode.opened .. number .. '/' .. episode.id
    call('ZADD', key('episode_order'), 0, place)
    if episode.open == '1' then
      call('ZADD', key('episodes_open'), 0, place)
    end
    local head = {episode.revision + 1, number, episode.open, ended, episode.version, episode.opened, episode.document}
    call('HSET', key('episodes'), episode.id, table.concat(head, ':'))
  end
end

-- The place of a pending delivery is TARGET/ORDER_KEY/SEQUENCE+NUMBER/ID: the first of each order key is found by leaps.

local function place_of(delivery, id)
  local found = call('HMGET', delivery, 'target', 'order_key', 'sequence', 'number')
  return found[1] .. '/' .. found[2] .. '/' .. found[3] .. found[4] .. '/' .. id
end

local function count_delivery(target, state, by)
  call('HINCRBY', key('delivery_counts'), target .. '/' .. state, by)
end

local function enqueue()
  local at = now()
  for _, notice in ipairs(given.notices) do
    local delivery = key('delivery:' .. notice.id)
    if call('EXISTS', delivery) == 0 then
      call('HSET', delivery, 'target', notice.target, 'order_key', notice.order_key, 'sequence', notice.sequence,
        'number', notice.number, 'created', notice.created, 'notice', notice.notice, 'state', 'pending',
        'attempts', 0, 'next', at, 'updated', at, 'last', '', 'owner', '', 'until', '')
      call('ZADD', key('delivery_order'), 0, notice.created .. notice.number .. '/' .. notice.id)
      call('ZADD', key('pending'), 0, place_of(delivery, notice.id))
      count_delivery(notice.target, 'pending', 1)
    end
  end
end

local function delivery_of(id)
  local found = call('HMGET', key('delivery:' .. id), 'notice', 'state', 'attempts', 'next', 'updated', 'last')
  return {id, unpack(found)}
end
