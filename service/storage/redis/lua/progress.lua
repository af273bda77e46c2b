-- How far the versions have come: of each the name, newest, advanced and evaluated, the oldest pane, and what is dirty.

if call('HEXISTS', key('row'), 'epoch') == 0 then
  return {}
end
local versions, oldest, dirty = {}, {}, {}
local fields = call('HGETALL', key('versions'))
for i = 1, #fields, 2 do
  local version, field = string.match(fields[i], '^(.*)/(%l+)$')
  versions[version] = versions[version] or {}
  versions[version][field] = fields[i + 1]
end
for _, series in ipairs(call('SMEMBERS', key('series'))) do
  local version = string.match(series, '^[^/]*')
  local first = call('ZRANGEBYLEX', key('panes'), '[' .. series .. '/', '(' .. series .. '0', 'LIMIT', 0, 1)[1]
  local start = string.sub(first, -PANE_CHARS, -PANE_CHARS / 2 - 1)
  if not oldest[version] or start < oldest[version] then
    oldest[version] = start
  end
end
fields = call('HGETALL', key('dirty'))
for i = 1, #fields, 2 do
  local version, window = string.match(fields[i], '^(.*)/(%d+)$')
  dirty[version] = dirty[version] or {}
  table.insert(dirty[version], window)
  table.insert(dirty[version], fields[i + 1])
end
local found = {}
for version, reached in pairs(versions) do
  if reached.newest then
    local start = oldest[version]
    if not start or start > reached.newest then
      start = reached.newest
    end
    local row = {version, reached.newest, reached.advanced, reached.evaluated or false, start, dirty[version] or {}}
    found[#found + 1] = row
  end
end
return found
