-- Adds the counts and marks of each commit, unless a mark is known or the epoch has moved on; answers in their order.
--
-- A list of payloads that was empty is a new pane, and one that has its third payload is known to be unfolded: what need not
-- be asked is not, since asking costs more than counting.

local row = call('HMGET', key('row'), 'epoch')
local reached = {}
local at

-- The newest row of a version, and how far it is evaluated; asked for once.
local function version_at(version)
  if not reached[version] then
    reached[version] = call('HMGET', key('versions'), version .. '/newest', version .. '/evaluated')
  end
  return reached[version]
end

local function known_of(marks)
  local known = {}
  for _, mark in ipairs(marks) do
    local found = call('HGET', key('marks'), mark.key)
    if found then
      local digest, answer = unpack(cmsgpack.unpack(found))
      known[#known + 1] = {mark.key, digest, answer}
    end
  end
  return known
end

local function advance(newest)
  for version, us in pairs(newest) do
    local was = version_at(version)
    if not was[1] or was[1] < us then
      at = at or now()
      call('HSET', key('versions'), version .. '/newest', us, version .. '/advanced', at)
      was[1] = us
    end
  end
end

local function add(delta)
  local length = call('RPUSH', key('payloads:' .. delta.pane), blob(delta.payload))
  if length == 1 then
    begin_pane(delta.pane)
  end
  if length <= 2 then
    call('SADD', key('unfolded'), delta.pane)
  end
  call('HINCRBY', key('rows'), delta.pane, delta.rows)
  if delta.late ~= 0 then
    call('HINCRBY', key('late'), delta.pane, delta.late)
  end
  local evaluated, window = version_at(delta.version)[2], window_of(delta.pane)
  if evaluated and window < evaluated then
    call('HINCRBY', key('dirty'), delta.version .. '/' .. window, 1)
  end
end

local function outcome_of(commit)
  if not row[1] then
    return {'stale', {}}
  end
  -- Known before stale: what has been counted need not be counted anew by the new epoch.
  local known = known_of(commit.marks)
  if #known > 0 then
    return {'duplicate', known}
  end
  if row[1] ~= commit.epoch then
    return {'stale', {}}
  end
  advance(commit.newest)
  for _, delta in ipairs(commit.deltas) do
    add(delta)
  end
  for _, mark in ipairs(commit.marks) do
    at = at or now()
    if call('HSET', key('marks'), mark.key, cmsgpack.pack({mark.digest, mark.answer, at})) == 1 then
      call('RPUSH', key('mark_order'), mark.key)
    end
  end
  return {'committed', {}}
end

local outcomes = {}
for i, commit in ipairs(given.commits) do
  outcomes[i] = outcome_of(commit)
end
return outcomes
