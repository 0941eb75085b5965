-- temporary tables of an earlier use of this session would be in the way of the next
DISCARD TEMP
