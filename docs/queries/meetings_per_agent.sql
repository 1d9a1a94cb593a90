-- How many meetings were booked with each agent, and how many of them were canceled?
-- A meeting of two agents counts for both. Drift does not return meetings that started more than 30 days before a sync.
SELECT
  agentId AS agent,
  any_value(users.name) AS name,
  count(*) AS booked,
  count(*) FILTER (meetings.status = 'CANCELED') AS canceled,
  count(*) FILTER (conversationId IS NOT NULL) AS from_conversations,
  strftime(epoch_ms(min(slotStart)), '%Y-%m-%d') AS first_day,
  strftime(epoch_ms(max(slotStart)), '%Y-%m-%d') AS last_day
FROM meetings
LEFT JOIN users ON users.id = agentId
GROUP BY agentId
ORDER BY booked DESC, agentId;
