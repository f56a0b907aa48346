import http from "k6/http";
import { check, sleep } from "k6";

export let options = {
  stages: [
    { duration: "30s", target: 20 },
    { duration: "1m30s", target: 20 },
    { duration: "20s", target: 0 },
  ],
  thresholds: { http_req_duration: ["p(90)<400", "p(99.9)<2000"], checks: ["rate>0.95"] },
};

export default function () {
  check(http.get("https://quickpizza.example/"), {
    ok: (r) => r.status === 200,
    "has a title": (r) => r.body.includes("QuickPizza"),
  });
  sleep(0.5);
}
