/** One optional page of graphs. It costs three dollars a month beyond the third of an account. */
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';

/** Something with metrics to show. */
export interface Shown {
  readonly title: string;
  readonly metrics: cloudwatch.IMetric[];
}

/** A row of graphs per function. */
export class Dashboard extends Construct {
  constructor(scope: Construct, id: string, shown: Shown[]) {
    super(scope, id);
    const graph = (title: string, metric: cloudwatch.IMetric): cloudwatch.GraphWidget =>
      new cloudwatch.GraphWidget({ title, left: [metric], width: 12 });
    new cloudwatch.Dashboard(this, 'Page', {
      widgets: shown.map(({ title, metrics }) => metrics.map((metric) => graph(title, metric))),
    });
  }
}
