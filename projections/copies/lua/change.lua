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

-- a row's last part is its scope: empty, or what the names of its tenant's keys begin with
for _, row in ipairs(batch.gone) do
  local key, here = row[1], root .. ':' .. row[2]
  redis.call('UNLINK', here .. 'row:' .. key)
  redis.call('SREM', index, key)
  if row[2] ~= '' then redis.call('SREM', here .. 'keys', key) end
  for _, column in ipairs(batch.ranked) do redis.call('ZREM', here .. 'by:' .. column, key) end
end
for _, row in ipairs(batch.rows) do
  local key, scope = row[1], row[4]
  local here = root .. ':' .. scope
  redis.call('UNLINK', here .. 'row:' .. key)
  redis.call('HSET', here .. 'row:' .. key, unpack(row[2]))
  redis.call('SADD', index, key)
  if scope ~= '' then
    redis.call('HSET', meta, 'tenants', '1')
    redis.call('SADD', here .. 'keys', key)
    redis.call('SADD', root .. ':rankings', scope .. 'keys')
    for _, column in ipairs(batch.ranked) do redis.call('SADD', root .. ':rankings', scope .. 'by:' .. column) end
  end
  for position, column in ipairs(batch.ranked) do
    local score = row[3][position]
    if score == '' then redis.call('ZREM', here .. 'by:' .. column, key)
    else redis.call('ZADD', here .. 'by:' .. column, score, key) end
  end
end
if not batch.tenants then
  for _, column in ipairs(batch.ranked) do redis.call('SADD', root .. ':rankings', column) end
end
if batch.last then
  for _, fence in ipairs(batch.fences) do redis.call('HSET', meta, 'offset ' .. fence[1], fence[4]) end
end
return 'DONE'
