-- How many conversations did each agent take part in, how many of them are open, and how many messages did they write?
-- Bots are not included. Deleted users have no name, and users without conversations have zeros. Private notes and
-- messages without an author ID are not counted.
WITH took_part AS (
  -- DISTINCT, because Drift may list a participant more than once.
  SELECT DISTINCT id AS conversation, status, TRY_CAST(unnest(participants ->> '$[*]') AS BIGINT) AS agent
  FROM conversation_details
),
talks AS (
  SELECT agent, count(*) AS conversations, count(*) FILTER (status = 'open') AS open
  FROM took_part
  GROUP BY agent
),
wrote AS (
  SELECT TRY_CAST(author ->> '$.id' AS BIGINT) AS agent, count(*) AS messages
  FROM messages
  WHERE author ->> '$.type' = 'user'
    AND author ->> '$.bot' IS DISTINCT FROM 'true'
    AND coalesce(type, 'chat') = 'chat'
  GROUP BY agent
),
agents AS (
  SELECT id AS agent FROM users
  UNION SELECT agent FROM talks
  UNION SELECT agent FROM wrote
)
SELECT
  agent,
  name,
  coalesce(conversations, 0) AS conversations,
  coalesce(open, 0) AS open,
  coalesce(messages, 0) AS messages
FROM agents
LEFT JOIN users ON users.id = agent
LEFT JOIN talks USING (agent)
LEFT JOIN wrote USING (agent)
WHERE agent IS NOT NULL AND bot IS NOT TRUE
ORDER BY conversations DESC, messages DESC, agent;
