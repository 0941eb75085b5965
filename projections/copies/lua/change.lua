-- rows and offsets in one step, behind the fences; rows of a fill behind its ticket
-- KEYS: meta, set of row keys. ARGV: root of further keys, the batch as JSON.
local meta, index, root = KEYS[1], KEYS[2], ARGV[1]
local batch = cjson.decode(ARGV[2])

if batch.ticket then
  if redis.call('HGET', meta, 'ticket') ~= batch.ticket then return 'FENCED' end
else
  if redis.call('HGET', meta, 'state') ~= 'filled' then return 'LOST' end
  local repeated = batch.owned and #batch.fences > 0
  for _, fence in ipairs(batch.fences) do
    if redis.call('HGET', meta, 'epoch ' .. fence[1]) ~= fence[2] then return 'FENCED' end
    local offset = tonumber(redis.call('HGET', meta, 'offset ' .. fence[1]) or '-1')
    local expected, following = tonumber(fence[3]), tonumber(fence[4])
    if offset < expected then return 'LOST' end
    if offset < following or following == expected then repeated = false end
  end
  if repeated then return 'DONE' end
end

for _, key in ipairs(batch.gone) do
  redis.call('UNLINK', root .. ':row:' .. key)
  redis.call('SREM', index, key)
  for _, column in ipairs(batch.ranked) do redis.call('ZREM', root .. ':by:' .. column, key) end
end
for _, row in ipairs(batch.rows) do
  local key = row[1]
  redis.call('UNLINK', root .. ':row:' .. key)
  redis.call('HSET', root .. ':row:' .. key, unpack(row[2]))
  redis.call('SADD', index, key)
  for position, column in ipairs(batch.ranked) do
    local score = row[3][position]
    if score == '' then redis.call('ZREM', root .. ':by:' .. column, key)
    else redis.call('ZADD', root .. ':by:' .. column, score, key) end
  end
end
for _, column in ipairs(batch.ranked) do redis.call('SADD', root .. ':rankings', column) end
if batch.last then
  for _, fence in ipairs(batch.fences) do redis.call('HSET', meta, 'offset ' .. fence[1], fence[4]) end
end
return 'DONE'
