// Two kinds of customers of a shop, each at a rate of its own.
import http from 'k6/http';
import { check, group, sleep } from 'k6';
import { Trend } from 'k6/metrics';

const BASE = __ENV.BASE_URL || 'http://shop.example:8080';
const waits = new Trend('waits');

export const options = {
  discardResponseBodies: true,
  scenarios: {
    browse: {
      executor: 'constant-arrival-rate',
      rate: 50,
      timeUnit: '1s',
      duration: '2m',
      preAllocatedVUs: 20,
      exec: 'browse',
    },
    order: {
      executor: 'ramping-arrival-rate',
      startRate: 60,
      timeUnit: '1m',
      stages: [
        { target: 600, duration: '1m' },
        { target: 600, duration: '30s' },
      ],
      startTime: '30s',
      exec: 'order',
    },
    cleanup: { executor: 'per-vu-iterations', vus: 1, iterations: 1, exec: 'order' },
  },
  thresholds: {
    'http_req_duration{scenario:browse}': ['p(95)<500', 'avg<200'],
    http_req_failed: [{ threshold: 'rate<0.01', abortOnFail: true }],
  },
};

export function setup() {
  return { token: 'abc' };
}

export function browse() {
  const res = http.get(`${BASE}/products?page=1`, { headers: { Accept: 'application/json' }, tags: { name: 'list' } });
  check(res, {
    'status is 200': (r) => r.status === 200,
    'is fast': (r) => r.timings.duration < 300,
  });
  waits.add(res.timings.waiting);
}

export function order() {
  const payload = JSON.stringify({ sku: 'mug', count: 2 });
  let made;
  group('checkout', function () {
    made = http.post(BASE + '/orders', payload, {
      headers: { 'Content-Type': 'application/json' },
      timeout: '10s',
    });
    check(made, { created: (r) => r.status == 201 || r.status == 202 });
    sleep(1);
    http.get(`${BASE}/orders/${made.json('id')}`);
    http.get(BASE + '/orders');
  });
  if (made.status !== 201) {
    console.log(made.body);
  }
}
