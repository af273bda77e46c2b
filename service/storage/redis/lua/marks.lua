-- Those marks that are known.

local known = {}
for _, wanted in ipairs(given.keys) do
  local found = call('HGET', key('marks'), wanted)
  if found then
    local digest, answer = unpack(cmsgpack.unpack(found))
    known[#known + 1] = {wanted, digest, answer}
  end
end
return known
