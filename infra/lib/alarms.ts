/** Few alarms, each with something to do about it (docs/runbook.md), to one SNS topic. */
import { CfnOutput } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as actions from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as subscriptions from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import { Config } from './config';

/** One alarm: the metric reached the threshold within one period. */
export interface AlarmProps {
  readonly metric: cloudwatch.IMetric;
  readonly threshold: number;
  readonly description: string;
}

/** The topic and what reports to it. */
export class Alarms extends Construct {
  readonly topic: sns.ITopic;

  constructor(scope: Construct, id: string, config: Config) {
    super(scope, id);
    this.topic = config.alarmTopicArn
      ? sns.Topic.fromTopicArn(this, 'Topic', config.alarmTopicArn)
      : this.makeTopic(config.alarmEmail);
  }

  /** Adds an alarm. A metric without data is no trouble: nothing happened. */
  add(id: string, { metric, threshold, description }: AlarmProps): void {
    const alarm = new cloudwatch.Alarm(this, id, {
      metric,
      threshold,
      alarmDescription: description,
      evaluationPeriods: 1,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
    });
    const action = new actions.SnsAction(this.topic);
    alarm.addAlarmAction(action);
    alarm.addOkAction(action);
  }

  private makeTopic(email?: string): sns.Topic {
    const topic = new sns.Topic(this, 'Topic', { enforceSSL: true });
    if (email) topic.addSubscription(new subscriptions.EmailSubscription(email));
    new CfnOutput(this, 'TopicArn', { value: topic.topicArn });
    return topic;
  }
}
