-- count a topic from its first record again, after it was lost and made anew; the new epoch fences whoever still counts the old one
UPDATE projections.checkpoint SET next_offset = 0, seen_offset = 0, topic_id = NULL, epoch = epoch + 1, updated_at = clock_timestamp()
WHERE generation = %(generation)s AND topic = %(topic)s
