-- How long do contacts wait for the first response of a person, and of a bot?
-- The wait begins with the contact's first message, so a message that an agent sends first does not count as a response.
WITH written AS (
  SELECT
    conversationId,
    messages.createdAt,
    CASE
      WHEN author ->> '$.type' = 'contact' THEN 'contact'
      -- Drift often omits the author's `bot`, and deleted users are not listed.
      WHEN author ->> '$.type' = 'user' AND (author ->> '$.bot' = 'true' OR users.bot) THEN 'bot'
      WHEN author ->> '$.type' = 'user' THEN 'person'
    END AS writer
  FROM messages
  LEFT JOIN users ON users.id = TRY_CAST(author ->> '$.id' AS BIGINT)
  -- Leave out private notes and other messages that contacts don't see.
  WHERE coalesce(type, 'chat') = 'chat'
),
asked AS (
  SELECT conversationId, min(createdAt) AS askedAt
  FROM written
  WHERE writer = 'contact' AND conversationId IS NOT NULL AND createdAt IS NOT NULL
  GROUP BY conversationId
),
waits AS (
  SELECT answers_of, asked.conversationId, min(createdAt) - askedAt AS millis
  FROM asked
  CROSS JOIN (VALUES ('person'), ('bot')) AS writers(answers_of)
  LEFT JOIN written
    ON written.conversationId = asked.conversationId AND writer = answers_of AND createdAt >= askedAt
  GROUP BY answers_of, asked.conversationId, askedAt
)
SELECT
  answers_of,
  count(*) AS conversations,
  count(millis) AS answered,
  round(median(millis) / 1000, 1) AS median_seconds,
  round(quantile_cont(millis, 0.9) / 1000, 1) AS p90_seconds
FROM waits
GROUP BY answers_of
ORDER BY answers_of DESC;
