-- fence earlier owners; a copy of a generation in a database that was dropped since is in the way, an absent one is made
-- KEYS: meta. ARGV: mark, then partition and epoch by turns.
local mark = redis.call('HGET', KEYS[1], 'mark')
if mark and mark > ARGV[1] then return {'FENCED'} end
if mark and mark < ARGV[1] then return {'STALE'} end
for i = 2, #ARGV, 2 do
  local epoch = redis.call('HGET', KEYS[1], 'epoch ' .. ARGV[i])
  if epoch and tonumber(epoch) > tonumber(ARGV[i + 1]) then return {'FENCED'} end
end
redis.call('HSETNX', KEYS[1], 'mark', ARGV[1])
redis.call('HSETNX', KEYS[1], 'state', 'empty')
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], 'epoch ' .. ARGV[i], ARGV[i + 1])
  redis.call('HSETNX', KEYS[1], 'offset ' .. ARGV[i], '0')
end
return {'DONE', unpack(redis.call('HGETALL', KEYS[1]))}
