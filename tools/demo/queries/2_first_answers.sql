-- How fast do bots and people respond to visitors, and with how many messages?
WITH said AS (
  SELECT
    conversationId,
    createdAt,
    CASE
      WHEN author->>'type' = 'contact' THEN 'visitor'
      WHEN author->>'bot' = 'true' THEN 'bot'
      ELSE 'person'
    END AS writer
  FROM messages
  -- Leave out private notes, because visitors do not see them.
  WHERE type = 'chat'
), asked AS (
  SELECT conversationId, min(createdAt) AS asked_at
  FROM said
  WHERE writer = 'visitor'
  GROUP BY conversationId
), answered AS (
  SELECT
    conversationId,
    writer,
    (min(createdAt) - any_value(asked_at)) / 1000 AS seconds,
    count(*) AS messages
  FROM said
  JOIN asked USING (conversationId)
  WHERE writer <> 'visitor' AND createdAt >= asked_at
  GROUP BY conversationId, writer
)
SELECT
  writer AS answered_by,
  count(*) AS conversations,
  round(100 * count(*) / (SELECT count(*) FROM asked), 1) AS "%",
  round(median(seconds), 1) AS median_s,
  round(quantile_cont(seconds, 0.9), 1) AS p90_s,
  round(avg(messages), 1) AS messages
FROM answered
GROUP BY writer
ORDER BY writer;
