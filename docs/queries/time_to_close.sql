-- How long does it take until a conversation is first closed, by the month in which it was closed?
-- Months are UTC. Conversations that were never closed have no time to close, and are left out.
SELECT
  strftime(epoch_ms(firstCloseAt::BIGINT), '%Y-%m') AS month,
  count(*) AS closed,
  round(median(timeToCloseMillis) / 60000, 1) AS median_minutes,
  round(quantile_cont(timeToCloseMillis, 0.9) / 60000, 1) AS p90_minutes
FROM conversation_metrics
WHERE timeToCloseMillis IS NOT NULL
GROUP BY month
ORDER BY month DESC NULLS LAST;
