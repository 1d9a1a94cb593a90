-- How many conversations began in each week, by status?
-- Weeks begin on Monday, UTC. If there are too many weeks for the chart, the query uses months or years.
WITH began AS (
  SELECT
    -- Treat an impossible time as missing.
    CASE WHEN createdAt BETWEEN 0 AND 4102444799999 THEN epoch_ms(createdAt) END AS moment,
    status
  FROM conversations
),
span AS (
  SELECT date_trunc('week', min(moment)) AS first, date_trunc('week', max(moment)) AS last
  FROM began
),
units AS (
  SELECT
    CASE
      WHEN date_diff('day', first, last) < 7 * 320 THEN 'week'
      WHEN date_diff('month', first, last) < 320 THEN 'month'
      ELSE 'year'
    END AS unit
  FROM span
)
SELECT unit, date_trunc(unit, moment)::DATE AS start, status, count(*) AS conversations
FROM began
CROSS JOIN units
GROUP BY ALL
ORDER BY ALL;
