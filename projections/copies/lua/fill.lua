-- begin a fill with a new ticket, or end it: from then on batches are taken
-- KEYS: meta. ARGV: ticket, 'begin' or 'end', then partition and offset by turns.
if ARGV[2] == 'begin' then
  if redis.call('EXISTS', KEYS[1]) == 0 then return 'FENCED' end
  redis.call('HSET', KEYS[1], 'ticket', ARGV[1], 'state', 'filling')
  return 'DONE'
end
if redis.call('HGET', KEYS[1], 'ticket') ~= ARGV[1] then return 'FENCED' end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], 'offset ' .. ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'state', 'filled')
redis.call('HDEL', KEYS[1], 'ticket')
return 'DONE'
